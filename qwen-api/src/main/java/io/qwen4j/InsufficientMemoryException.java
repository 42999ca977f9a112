package io.qwen4j;

/** Memory that is needed is not there. Thrown before it is taken where it can be computed. */
public class InsufficientMemoryException extends QwenException {
    private static final long serialVersionUID = 1;

    private final long requiredBytes;
    private final long availableBytes;

    /**
     * Makes an error; both figures are put behind the message.
     *
     * @param message what the memory is for and what to do
     * @param requiredBytes bytes needed
     * @param availableBytes bytes available, or -1 if unknown
     */
    public InsufficientMemoryException(String message, long requiredBytes, long availableBytes) {
        super(message + " (needed: " + requiredBytes + " bytes, available: " + (availableBytes < 0 ? "unknown" : availableBytes + " bytes")
                + ")");
        this.requiredBytes = requiredBytes;
        this.availableBytes = availableBytes;
    }

    /**
     * The memory needed.
     *
     * @return bytes
     */
    public long requiredBytes() {
        return requiredBytes;
    }

    /**
     * The memory available.
     *
     * @return bytes, or -1 if unknown
     */
    public long availableBytes() {
        return availableBytes;
    }
}
