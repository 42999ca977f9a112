package io.qwen4j.tool;

import java.nio.file.Files;
import java.nio.file.Path;

/** What the launcher runs once, with the JVM archiving the classes that were used: answers from a model in both formats. */
final class SharedClasses {
    private SharedClasses() {}

    /**
     * Runs the commands; ends with an exception if one fails.
     *
     * @param arguments none
     */
    public static void main(String[] arguments) throws Exception {
        Path gguf = Files.createTempFile("qwen-", ".gguf");
        try {
            run("quantize", "tiny-qwen", "--type", "Q8_0", "--output", gguf.toString());
            run("chat", "--message", "Hello");
            run("chat", gguf.toString(), "--message", "Hello");
            run("generate", gguf.toString(), "--prompt", "Hello", "--max-tokens", "2");
        } finally {
            Files.deleteIfExists(gguf);
        }
    }

    private static void run(String... words) {
        if (Main.run(words, Streams.standard()) != 0) {
            throw new IllegalStateException("qwen " + String.join(" ", words) + " failed");
        }
    }
}
