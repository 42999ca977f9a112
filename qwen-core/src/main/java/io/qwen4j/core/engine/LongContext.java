package io.qwen4j.core.engine;

import io.qwen4j.DualChunk;
import io.qwen4j.LoadOptions;
import io.qwen4j.Yarn;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.model.QwenConfig;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How far a loaded model reaches and by what: what its files state, changed by what the user asks for.
 *
 * @param config the files' configuration with the rope and the context length that are in effect
 * @param plainLength longest sequence that YaRN leaves alone, in tokens: 0 where it holds always, {@link #ALWAYS_PLAIN} where there is none
 * @param asked whether the user asked for an extension, and so for the context that comes of it
 */
record LongContext(QwenConfig config, int plainLength, boolean asked) {
    /** No sequence is stretched. */
    static final int ALWAYS_PLAIN = Integer.MAX_VALUE;
    /** What the reports of Qwen2.5 promise of dual chunk attention, in training lengths. */
    private static final int DUAL_CHUNK_REACH = 4;

    private static final Logger LOG = LoggerFactory.getLogger(LongContext.class);

    /**
     * Applies the user's options.
     *
     * @param model for messages
     * @throws IllegalArgumentException if they make no sense with this model
     */
    static LongContext of(QwenConfig files, Path model, LoadOptions options) {
        QwenConfig.Rope stated = files.rope();
        int trained = trainedLength(files);
        QwenConfig.Yarn yarn = options.yarn() == null ? stated.yarn() : yarn(stated.yarn(), options.yarn(), trained, model);
        QwenConfig.DualChunk chunks = options.dualChunk() == null ? stated.dualChunk() : chunks(options.dualChunk());
        QwenConfig.Rope rope = new QwenConfig.Rope(stated.theta(), yarn, chunks);
        String fault = ConfigChecks.fault(rope, files.headSize());
        if (fault != null) {
            throw new IllegalArgumentException(model + ": " + fault);
        }
        boolean asked = options.yarn() != null && yarn != null || options.dualChunk() != null && chunks != null;
        int plain = yarn == null ? ALWAYS_PLAIN : automatic(options) ? yarn.originalContextLength() : 0;
        QwenConfig config = files.with(rope, contextLength(files, rope, trained));
        if (!rope.equals(stated)) {
            LOG.info("{}: positions are {} instead of {}; made for {} tokens", model, rope.description(), stated.description(),
                    config.contextLength());
        }
        if (chunks != null && options.dualChunk() != null && chunks.chunkSize() > trained) {
            LOG.warn("{}: chunks with distances up to {} tokens were asked for, the model was trained for {}", model,
                    chunks.chunkSize(), trained);
        }
        return new LongContext(config, plain, asked);
    }

    /** How positions are extended, for people. */
    String description() {
        boolean sometimes = plainLength != 0 && plainLength != ALWAYS_PLAIN;
        return config.rope().description() + (sometimes ? "; YaRN only in requests of more than " + plainLength + " tokens" : "");
    }

    private static boolean automatic(LoadOptions options) {
        return options.yarn() != null && options.yarn().mode() == Yarn.Mode.AUTO;
    }

    /** Tokens that the model can do without any extension, as far as its files tell. */
    private static int trainedLength(QwenConfig files) {
        QwenConfig.Yarn yarn = files.rope().yarn();
        QwenConfig.DualChunk chunks = files.rope().dualChunk();
        if (yarn != null) {
            return yarn.originalContextLength();
        }
        if (chunks != null) {
            int known = chunks.originalContextLength() > 0 ? chunks.originalContextLength() : chunks.chunkSize();
            return Math.min(files.contextLength(), known);
        }
        return files.contextLength();
    }

    private static QwenConfig.@Nullable Yarn yarn(QwenConfig.@Nullable Yarn files, Yarn user, int trained, Path model) {
        if (user.mode() == Yarn.Mode.OFF) {
            return null;
        }
        if (user.factor() == 0 && files == null) {
            throw new IllegalArgumentException(model + ": YaRN was asked for without a factor, and the model's files state none");
        }
        double factor = user.factor() == 0 ? files.factor() : user.factor();
        double computed = files != null && factor == files.factor() ? files.attentionFactor() : ConfigChecks.yarnScale(factor, 1);
        return new QwenConfig.Yarn(
                factor,
                user.originalContextLength() == 0 ? trained : user.originalContextLength(),
                user.attentionFactor() == 0 ? computed : user.attentionFactor(),
                given(user.betaFast(), files == null ? 32 : files.betaFast()),
                given(user.betaSlow(), files == null ? 1 : files.betaSlow()),
                files == null || files.truncate());
    }

    private static double given(double value, double otherwise) {
        return value == 0 ? otherwise : value;
    }

    private static QwenConfig.@Nullable DualChunk chunks(DualChunk user) {
        return user.chunkSize() == 0
                ? null
                : new QwenConfig.DualChunk(user.chunkSize(), user.localSize(), user.originalContextLength());
    }

    /** The files' own length while their extension stays; else what is left of it, or what the user's reaches. */
    private static int contextLength(QwenConfig files, QwenConfig.Rope rope, int trained) {
        if (rope.equals(files.rope())) {
            return files.contextLength();
        }
        boolean chunksStay = rope.dualChunk() != null && files.rope().dualChunk() != null;
        long longest = chunksStay ? files.contextLength() : trained;
        if (rope.dualChunk() != null && !chunksStay) {
            int original = rope.dualChunk().originalContextLength();
            longest = Math.max(longest, (long) DUAL_CHUNK_REACH * (original > 0 ? original : trained));
        }
        return ConfigChecks.contextLength((int) Math.min(Integer.MAX_VALUE, longest), rope);
    }
}
