package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.DualChunk;
import io.qwen4j.LoadOptions;
import io.qwen4j.Yarn;
import io.qwen4j.core.model.QwenConfig;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What the user's options make of what the files state. */
class LongContextTest {
    private static final Path MODEL = Path.of("some-model");
    private static final double FACTOR_4 = 0.1 * Math.log(4) + 1;
    private static final QwenConfig.Yarn STATED = new QwenConfig.Yarn(4, 32_768, 1.3, 16, 2, false);
    private static final QwenConfig.DualChunk MILLION = new QwenConfig.DualChunk(262_144, 8192, 262_144);

    private static QwenConfig files(int context, QwenConfig.@Nullable Yarn yarn, QwenConfig.@Nullable DualChunk chunks) {
        return new QwenConfig(
                "qwen2", 28, 3584, 28, 4, 128, 18944, 152064, false, 1e-6f, context, new QwenConfig.Rope(1e6, yarn, chunks));
    }

    private static LongContext of(QwenConfig files, @Nullable Yarn yarn, @Nullable DualChunk chunks) {
        return LongContext.of(files, MODEL, LoadOptions.builder().yarn(yarn).dualChunk(chunks).build());
    }

    private static void check(
            LongContext found, QwenConfig.@Nullable Yarn yarn, QwenConfig.@Nullable DualChunk chunks, int context, int plain, boolean asked) {
        assertEquals(new QwenConfig.Rope(1e6, yarn, chunks), found.config().rope());
        assertEquals(context, found.config().contextLength());
        assertEquals(plain, found.plainLength());
        assertEquals(asked, found.asked());
    }

    @Test
    void withoutOptionsTheFilesHold() {
        check(of(files(32_768, null, null), null, null), null, null, 32_768, LongContext.ALWAYS_PLAIN, false);
        check(of(files(131_072, STATED, null), null, null), STATED, null, 131_072, 0, false);
        check(of(files(1_010_000, null, MILLION), null, null), null, MILLION, 1_010_000, LongContext.ALWAYS_PLAIN, false);
    }

    @Test
    void yarnIsAdded() {
        QwenConfig.Yarn four = new QwenConfig.Yarn(4, 32_768, FACTOR_4, 32, 1, true);
        check(of(files(32_768, null, null), Yarn.of(4), null), four, null, 131_072, 0, true);
        check(of(files(32_768, null, null), Yarn.of(4).auto(), null), four, null, 131_072, 32_768, true);
        QwenConfig.Yarn all = new QwenConfig.Yarn(3, 10_000, 1.5, 20, 4, true);
        Yarn user = new Yarn(Yarn.Mode.AUTO, 3, 10_000, 1.5, 20, 4);
        check(of(files(32_768, null, null), user, null), all, null, 32_768, 10_000, true);
    }

    @Test
    void yarnOfTheFilesIsChangedOrSwitchedOff() {
        QwenConfig files = files(131_072, STATED, null);
        check(of(files, Yarn.of(0), null), STATED, null, 131_072, 0, true);
        check(of(files, Yarn.of(0).auto(), null), STATED, null, 131_072, 32_768, true);
        // The same factor keeps the files' attention factor, another one does not.
        check(of(files, Yarn.of(4), null), STATED, null, 131_072, 0, true);
        QwenConfig.Yarn two = new QwenConfig.Yarn(2, 32_768, 0.1 * Math.log(2) + 1, 16, 2, false);
        check(of(files, Yarn.of(2), null), two, null, 65_536, 0, true);
        QwenConfig.Yarn shorter = new QwenConfig.Yarn(4, 16_384, 1.3, 16, 2, false);
        check(of(files, Yarn.of(0).from(16_384), null), shorter, null, 65_536, 0, true);
        check(of(files, Yarn.OFF, null), null, null, 32_768, LongContext.ALWAYS_PLAIN, false);
        check(of(files(32_768, null, null), Yarn.OFF, null), null, null, 32_768, LongContext.ALWAYS_PLAIN, false);
    }

    @Test
    void dualChunksReachFourTrainingLengths() {
        DualChunk user = DualChunk.forTrainingLength(32_768);
        QwenConfig.DualChunk chunks = new QwenConfig.DualChunk(24_576, 2048, 0);
        check(of(files(32_768, null, null), null, user), null, chunks, 131_072, LongContext.ALWAYS_PLAIN, true);
        QwenConfig.DualChunk scaled = new QwenConfig.DualChunk(24_576, 2048, 16_384);
        check(of(files(32_768, null, null), null, new DualChunk(24_576, 2048, 16_384)), null, scaled, 65_536,
                LongContext.ALWAYS_PLAIN, true);
        QwenConfig.Yarn eight = new QwenConfig.Yarn(8, 32_768, 0.1 * Math.log(8) + 1, 32, 1, true);
        check(of(files(32_768, null, null), Yarn.of(8).auto(), user), eight, chunks, 262_144, 32_768, true);
        QwenConfig.Yarn two = new QwenConfig.Yarn(2, 32_768, 0.1 * Math.log(2) + 1, 32, 1, true);
        check(of(files(32_768, null, null), Yarn.of(2), user), two, chunks, 131_072, 0, true);
        check(of(files(131_072, STATED, null), null, user), STATED, chunks, 131_072, 0, true);
        check(of(files(131_072, STATED, null), Yarn.OFF, user), null, chunks, 131_072, LongContext.ALWAYS_PLAIN, true);
        assertEquals(Integer.MAX_VALUE, of(files(1 << 30, null, null), null, user).config().contextLength());
    }

    @Test
    void dualChunksOfTheFilesAreChangedOrSwitchedOff() {
        QwenConfig files = files(1_010_000, null, MILLION);
        QwenConfig.DualChunk smaller = new QwenConfig.DualChunk(131_072, 4096, 262_144);
        check(of(files, null, new DualChunk(131_072, 4096, 262_144)), null, smaller, 1_010_000, LongContext.ALWAYS_PLAIN, true);
        check(of(files, null, DualChunk.OFF), null, null, 262_144, LongContext.ALWAYS_PLAIN, false);
        QwenConfig unscaled = files(1_010_000, null, new QwenConfig.DualChunk(98_304, 8192, 0));
        check(of(unscaled, null, DualChunk.OFF), null, null, 98_304, LongContext.ALWAYS_PLAIN, false);
        check(of(files, Yarn.of(8), null), new QwenConfig.Yarn(8, 262_144, 0.1 * Math.log(8) + 1, 32, 1, true), MILLION, 2_097_152, 0,
                true);
    }

    @Test
    void whatMakesNoSenseIsRefusedWithItsNumbers() {
        String none = assertThrows(IllegalArgumentException.class, () -> of(files(32_768, null, null), Yarn.of(0).auto(), null)).getMessage();
        assertTrue(none.contains("some-model") && none.contains("without a factor"), none);
        String original = assertThrows(IllegalArgumentException.class, () -> of(files(32_768, null, null), Yarn.of(4).from(1), null))
                .getMessage();
        assertTrue(original.contains("an original length of 1 tokens"), original);
        // Each is in its range, but not with the files' other one.
        Yarn betas = new Yarn(Yarn.Mode.STATIC, 4, 0, 0, 0, 40);
        String beta = assertThrows(IllegalArgumentException.class, () -> of(files(32_768, null, null), betas, null)).getMessage();
        assertTrue(beta.contains("are 32.0 and 40.0"), beta);
    }

    @Test
    void tellsItInWords() {
        assertEquals("plain", of(files(32_768, null, null), null, null).description());
        assertEquals("YaRN with factor 4 from 32768 tokens", of(files(32_768, null, null), Yarn.of(4), null).description());
        assertEquals("YaRN with factor 2.5 from 32768 tokens, dual chunks with distances up to 24576 tokens, 2048 local; YaRN only in"
                        + " requests of more than 32768 tokens",
                of(files(32_768, null, null), Yarn.of(2.5).auto(), DualChunk.forTrainingLength(32_768)).description());
        assertFalse(of(files(131_072, STATED, null), Yarn.OFF, null).description().contains("YaRN"));
    }
}
