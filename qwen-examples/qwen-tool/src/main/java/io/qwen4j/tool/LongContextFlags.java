package io.qwen4j.tool;

import io.qwen4j.DualChunk;
import io.qwen4j.Yarn;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The options that extend positions: YaRN and dual chunk attention. */
final class LongContextFlags {
    private static final Pattern CHUNKS = Pattern.compile("(\\d{1,9}[Kk]?),(\\d{1,9}[Kk]?)(?:,(\\d{1,9}[Kk]?))?");

    private LongContextFlags() {}

    /** What the options ask for, or null if they do not ask. */
    static @Nullable Yarn yarn(Arguments arguments) {
        Float factor = arguments.number("--yarn");
        Yarn.Mode mode = arguments.choice("--yarn-mode", Yarn.Mode.values());
        int original = arguments.integer("--yarn-original", 1, 0);
        if (factor == null && mode == null) {
            if (original > 0) {
                throw new UsageException("--yarn-original needs --yarn or --yarn-mode");
            }
            return null;
        }
        if (factor != null && factor == 0) {
            throw new UsageException("--yarn must be a number above 0, found 0");
        }
        if (mode == Yarn.Mode.OFF) {
            if (factor != null || original > 0) {
                throw new UsageException("--yarn-mode off and a factor or length of YaRN exclude each other");
            }
            return Yarn.OFF;
        }
        try {
            Yarn yarn = Yarn.of(factor == null ? 0 : factor).from(original);
            return mode == Yarn.Mode.AUTO ? yarn.auto() : yarn;
        } catch (IllegalArgumentException e) {
            throw new UsageException("--yarn: " + e.getMessage());
        }
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
            throw Arguments.wrong("--dual-chunk", "S,W or S,W,ORIGINAL in tokens, such as 24K,2K, or off", chunks);
        }
        try {
            int size = tokens(sizes.group(1));
            if (size == 0) {
                throw new UsageException("--dual-chunk must begin with a chunk size above 0, or be off; found '" + chunks + "'");
            }
            return new DualChunk(size, tokens(sizes.group(2)), sizes.group(3) == null ? 0 : tokens(sizes.group(3)));
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw new UsageException("--dual-chunk: " + e.getMessage());
        }
    }

    private static int tokens(String text) {
        boolean thousands = text.endsWith("K") || text.endsWith("k");
        int number = Integer.parseInt(thousands ? text.substring(0, text.length() - 1) : text);
        return thousands ? Math.multiplyExact(number, 1024) : number;
    }
}
