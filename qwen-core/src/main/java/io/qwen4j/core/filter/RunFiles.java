package io.qwen4j.core.filter;

import io.qwen4j.filter.FilterException;
import io.qwen4j.filter.FilterException.Reason;
import io.qwen4j.filter.FilterFiles;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The open files of a run, and where it begins.
 *
 * @param journal how far earlier runs were, or null if this one begins anew
 * @param digest of the input up to there
 */
record RunFiles(
        FilterFiles names,
        RandomAccessFile input,
        OutputFile output,
        @Nullable OutputFile rejected,
        @Nullable RunJournal journal,
        Digest digest)
        implements AutoCloseable {
    /** Opens and checks the files. Nothing is changed, but outputs are made where there are none. */
    static RunFiles open(FilterFiles names, Map<String, String> settings, List<String> dimensions) {
        names.check();
        boolean resumes = !names.overwrite() && Files.exists(names.journal());
        if (resumes) {
            RunJournal journal = RunJournal.read(names.journal(), settings, dimensions);
            checkOutput(names.output(), journal.outputBytes());
            if (names.rejected() != null) {
                checkOutput(names.rejected(), journal.rejectedBytes());
            }
        }
        List<AutoCloseable> opened = new ArrayList<>();
        try {
            OutputFile output = OutputFile.open(names.output());
            opened.add(output);
            OutputFile rejected = null;
            if (names.rejected() != null) {
                rejected = OutputFile.open(names.rejected());
                opened.add(rejected);
            }
            RandomAccessFile input = openInput(names.input());
            opened.add(input);
            Digest digest = new Digest();
            RunJournal journal = null;
            if (resumes) {
                // Again, as only now nobody else writes it.
                journal = RunJournal.read(names.journal(), settings, dimensions);
                checkInput(names, input, journal, digest);
            }
            return new RunFiles(names, input, output, rejected, journal, digest);
        } catch (Throwable t) {
            closeAll(opened, t);
            throw t;
        }
    }

    private static void checkOutput(Path file, long least) {
        try {
            long size = Files.exists(file) ? Files.size(file) : 0;
            if (size < least) {
                throw new FilterException(Reason.DIFFERENT, file, "expected the " + least + " bytes that the run had written, found " + size
                        + "; restore the file, or overwrite to begin anew", null);
            }
        } catch (IOException e) {
            throw new FilterException(Reason.IO, file, "cannot be read: " + e.getMessage(), e);
        }
    }

    private static RandomAccessFile openInput(Path input) {
        try {
            return new RandomAccessFile(input.toFile(), "r");
        } catch (IOException e) {
            throw new FilterException(Reason.IO, input, "cannot be opened: " + e.getMessage(), e);
        }
    }

    private static void checkInput(FilterFiles names, RandomAccessFile input, RunJournal journal, Digest digest) {
        Path file = names.input();
        long bytes = journal.inputBytes();
        try {
            if (!digest.readTo(input, bytes)) {
                throw new FilterException(Reason.DIFFERENT, file, "expected at least the " + bytes + " bytes that are filtered, found "
                        + input.length() + "; restore the file, or overwrite to begin anew", null);
            }
            if (!digest.value().equals(journal.inputDigest())) {
                throw new FilterException(Reason.DIFFERENT, file, "the first " + bytes + " bytes differ from those that were filtered;"
                        + " expected SHA-256 " + journal.inputDigest() + ", found " + digest.value() + "; restore the file, or overwrite to"
                        + " begin anew", null);
            }
            if (!journal.inputEnded() && input.length() > bytes) {
                throw new FilterException(Reason.DIFFERENT, file, "has grown to " + input.length() + " bytes in its last line, whose "
                        + "beginning is filtered up to byte " + bytes + "; overwrite to begin anew", null);
            }
        } catch (IOException e) {
            throw new FilterException(Reason.IO, file, "reading failed: " + e.getMessage(), e);
        }
    }

    private static void closeAll(List<AutoCloseable> opened, Throwable because) {
        for (AutoCloseable file : opened) {
            try {
                file.close();
            } catch (Exception e) {
                because.addSuppressed(e);
            }
        }
    }

    @Override
    public void close() {
        try {
            input.close();
        } catch (IOException e) {
            throw new FilterException(Reason.IO, names.input(), "closing failed: " + e.getMessage(), e);
        } finally {
            try {
                output.close();
            } finally {
                if (rejected != null) {
                    rejected.close();
                }
            }
        }
    }
}
