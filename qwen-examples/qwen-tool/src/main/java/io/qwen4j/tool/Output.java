package io.qwen4j.tool;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** A stream of UTF-8 text, whatever the locale, that notices when nobody reads it any more. */
final class Output {
    private final OutputStream out;
    private final boolean terminal;

    Output(OutputStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    boolean isTerminal() {
        return terminal;
    }

    /** Writes text; it is seen after {@link #flush()}. */
    void print(String text) throws IOException {
        guard(() -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    }

    void println(String text) throws IOException {
        print(text + "\n");
    }

    void flush() throws IOException {
        guard(out::flush);
    }

    private interface Writing {
        void run() throws IOException;
    }

    private static void guard(Writing writing) throws IOException {
        try {
            writing.run();
        } catch (IOException e) {
            String message = String.valueOf(e.getMessage());
            // The JVM ignores SIGPIPE and has no type for this error.
            if (message.contains("Broken pipe") || message.contains("pipe is being closed")) {
                throw new ReaderGoneException(e);
            }
            throw e;
        }
    }

    /** Who read the output has enough of it. */
    static final class ReaderGoneException extends IOException {
        private static final long serialVersionUID = 1;

        ReaderGoneException(IOException cause) {
            super(cause);
        }
    }
}
