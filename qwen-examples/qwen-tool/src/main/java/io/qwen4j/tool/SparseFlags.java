package io.qwen4j.tool;

import io.qwen4j.SparsePrefill;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The options of sparse prefill. */
final class SparseFlags {
    private static final Pattern UNIFORM = Pattern.compile("(\\d{1,9}),(\\d{1,9})");

    private SparseFlags() {}

    /** What the options ask for, or null if they do not ask. */
    static @Nullable SparsePrefill of(Arguments arguments) {
        String budgets = arguments.text("--sparse-prefill");
        int threshold = arguments.integer("--sparse-threshold", 0, SparsePrefill.DEFAULT_THRESHOLD);
        if (budgets == null) {
            if (arguments.has("--sparse-threshold")) {
                throw new UsageException("--sparse-threshold needs --sparse-prefill");
            }
            return null;
        }
        try {
            return of(budgets).withThreshold(threshold);
        } catch (IllegalArgumentException e) {
            throw new UsageException("--sparse-prefill: " + e.getMessage());
        }
    }

    private static SparsePrefill of(String budgets) {
        if (budgets.equals("auto")) {
            return SparsePrefill.PUBLISHED;
        }
        Matcher numbers = UNIFORM.matcher(budgets);
        return numbers.matches()
                ? SparsePrefill.uniform(Integer.parseInt(numbers.group(1)), Integer.parseInt(numbers.group(2)))
                : SparsePrefill.of(Path.of(budgets));
    }
}
