package io.qwen4j.tool;

import io.qwen4j.DualChunk;
import io.qwen4j.Yarn;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The options that extend positions: YaRN and dual chunk attention. */
final class LongContextFlags {
    private static final String SIZE = "\\d{1,9}[Kk]?";
    private static final Pattern CHUNKS = Pattern.compile("(" + SIZE + "),(" + SIZE + ")(?:,(" + SIZE + "))?");
    private static final Pattern TOKENS = Pattern.compile(SIZE);

    private LongContextFlags() {}

    /** What the options ask for, or null if they do not ask. */
    static @Nullable Yarn yarn(Arguments arguments) {
        String factor = arguments.text("--yarn");
        Yarn.Mode mode = arguments.choice("--yarn-mode", Yarn.Mode.values());
        String original = arguments.text("--yarn-original");
        if (factor == null && mode == null) {
            if (original != null) {
                throw new UsageException("--yarn-original needs --yarn or --yarn-mode");
            }
            return null;
        }
        if (mode == Yarn.Mode.OFF) {
            if (factor != null || original != null) {
                throw new UsageException("--yarn-mode off and a factor or length of YaRN exclude each other");
            }
            return Yarn.OFF;
        }
        Yarn yarn = Yarn.of(factor == null ? 0 : factor(factor)).from(original == null ? 0 : original(original));
        return mode == Yarn.Mode.AUTO ? yarn.auto() : yarn;
    }

    private static double factor(String text) {
        double factor;
        try {
            // Not by way of a float: 1.1 would not be the 1.1 of a model's files.
            factor = Double.parseDouble(text.strip());
        } catch (NumberFormatException e) {
            factor = Double.NaN;
        }
        if (!(factor > 0 && factor < 1e6)) {
            throw Arguments.wrong("--yarn", "a number above 0 and below 1000000", text);
        }
        return factor;
    }

    private static int original(String text) {
        long tokens = TOKENS.matcher(text.strip()).matches() ? tokens(text.strip()) : 0;
        if (tokens < 1 || tokens > Integer.MAX_VALUE) {
            throw Arguments.wrong("--yarn-original", "a number of tokens from 1, such as 32K", text);
        }
        return (int) tokens;
    }

    /** What the options ask for, or null if they do not ask. */
    static @Nullable DualChunk dualChunk(Arguments arguments) {
        String chunks = arguments.text("--dual-chunk");
        if (chunks == null) {
            return null;
        }
        if (chunks.strip().toLowerCase(Locale.ROOT).equals("off")) {
            return DualChunk.OFF;
        }
        Matcher sizes = CHUNKS.matcher(chunks.strip());
        if (!sizes.matches()) {
            throw Arguments.wrong("--dual-chunk", "S,W or S,W,N in tokens, such as 24K,2K, or off", chunks);
        }
        long size = tokens(sizes.group(1));
        long local = tokens(sizes.group(2));
        long original = sizes.group(3) == null ? 0 : tokens(sizes.group(3));
        if (size == 0) {
            throw Arguments.wrong("--dual-chunk", "off, or begin with a chunk size above 0", chunks);
        }
        if (Math.max(size, Math.max(local, original)) > Integer.MAX_VALUE) {
            throw Arguments.wrong("--dual-chunk", "of sizes up to " + Integer.MAX_VALUE, chunks);
        }
        try {
            return new DualChunk((int) size, (int) local, (int) original);
        } catch (IllegalArgumentException e) {
            throw new UsageException("--dual-chunk: " + e.getMessage());
        }
    }

    /** A size of at most 9 digits, where K is 1024. */
    private static long tokens(String text) {
        boolean kilo = text.endsWith("K") || text.endsWith("k");
        return kilo ? 1024L * Integer.parseInt(text.substring(0, text.length() - 1)) : Integer.parseInt(text);
    }
}
