package io.qwen4j.tool;

import io.qwen4j.DualChunk;
import io.qwen4j.LoadOptions;
import io.qwen4j.Yarn;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** How a model's positions are extended for a measurement. */
enum PassKeyMode {
    /** What the files and the common options say. */
    GIVEN("given", false, false),
    PLAIN("plain", false, false),
    YARN("yarn", true, false),
    DUAL_CHUNK("dual-chunk", false, true),
    DUAL_CHUNK_YARN("dual-chunk+yarn", true, true);

    private final String label;
    private final boolean yarn;
    private final boolean dualChunk;

    PassKeyMode(String label, boolean yarn, boolean dualChunk) {
        this.label = label;
        this.yarn = yarn;
        this.dualChunk = dualChunk;
    }

    String label() {
        return label;
    }

    static String labels() {
        return Arrays.stream(values()).map(PassKeyMode::label).collect(Collectors.joining(", "));
    }

    static List<PassKeyMode> parse(String option, String list) {
        List<PassKeyMode> modes = new ArrayList<>();
        for (String word : list.split(",", -1)) {
            modes.add(Arrays.stream(values())
                    .filter(mode -> mode.label.equalsIgnoreCase(word.strip()))
                    .findFirst()
                    .orElseThrow(() -> Arguments.wrong(option, "some of " + labels() + ", separated by commas", word)));
        }
        return modes;
    }

    /** Whether the training length decides what {@link #apply} sets. */
    boolean needsTrainingLength() {
        return yarn || dualChunk;
    }

    /** Refuses options that switch off what the mode is to measure. */
    void check(LoadOptions given) {
        if (yarn && Yarn.OFF.equals(given.yarn())) {
            throw new UsageException("--yarn-mode off and mode " + label + " exclude each other");
        }
        if (dualChunk && DualChunk.OFF.equals(given.dualChunk())) {
            throw new UsageException("--dual-chunk off and mode " + label + " exclude each other");
        }
    }

    /**
     * Sets the positions; YaRN and chunks that are set already stay where the mode has them.
     *
     * @param trained training length in tokens, where it is needed
     * @param longest the longest sequence in tokens; YaRN gets the factor for it
     */
    void apply(LoadOptions.Builder options, int trained, int longest) {
        if (this == GIVEN) {
            return;
        }
        LoadOptions given = options.build();
        if (!yarn) {
            options.yarn(Yarn.OFF);
        } else if (given.yarn() == null) {
            options.yarn(Yarn.of(Math.max(1, (double) longest / trained)).from(trained));
        }
        if (!dualChunk) {
            options.dualChunk(DualChunk.OFF);
        } else if (given.dualChunk() == null) {
            options.dualChunk(DualChunk.forTrainingLength(trained));
        }
    }
}
