package io.qwen4j;

/**
 * A device failed while it computed: what was in its memory is lost, and this process can compute nothing more on it. Requests that ran end with
 * this error; models on other devices go on.
 */
public class DeviceLostException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was computed, and what the driver says
     */
    public DeviceLostException(String message) {
        super(message);
    }
}
