package io.qwen4j.tool;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where a command reads and writes.
 *
 * @param in standard input
 * @param inTerminal whether a person types it
 * @param out standard output: what the contract of a command says and nothing else
 * @param err standard error: everything else
 */
record Streams(InputStream in, boolean inTerminal, Output out, Output err) {
    /** Tells which of the descriptors 0, 1 and 2 are terminals; the launcher sets it, as Java cannot ask. */
    private static final String TERMINALS_PROPERTY = "qwen.tool.terminals";

    static Streams standard() {
        return new Streams(
                // Not the bare file: FileInputStream.readAllBytes of JDK 17 fails on a pipe.
                new BufferedInputStream(new FileInputStream(FileDescriptor.in), 1 << 16),
                isTerminal(0),
                new Output(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), isTerminal(1)),
                new Output(new BufferedOutputStream(new FileOutputStream(FileDescriptor.err)), isTerminal(2)));
    }

    private static boolean isTerminal(int descriptor) {
        String known = System.getProperty(TERMINALS_PROPERTY);
        if (known != null) {
            return known.indexOf('0' + descriptor) >= 0;
        }
        try {
            String target = Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor)).toString();
            return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty") || target.equals("/dev/console");
        } catch (IOException | UnsupportedOperationException e) {
            // Not Linux: the console exists where input and output both are terminals.
            return System.console() != null;
        }
    }
}
