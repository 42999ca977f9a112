package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ControlTokens;
import io.qwen4j.ModelLimits;
import io.qwen4j.Tokenizer;
import io.qwen4j.core.format.gguf.GgufValue;
import io.qwen4j.core.format.gguf.GgufWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SyntheticVocabularyTest {
    private static final String ENGLISH =
            "The other morning there was rain in the town, and nobody had taken the umbrella that stood beside the door.";

    @TempDir
    private Path directory;

    private Tokenizer tokenizer(int ordinary, int rows) {
        Map<String, GgufValue> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", GgufValue.of("qwen2"));
        SyntheticVocabulary.addTo(metadata, ordinary, rows);
        Path file = directory.resolve("t.gguf");
        try (GgufWriter writer = GgufWriter.create(file, metadata, List.of())) {
            writer.finish();
        }
        return TokenizerLoader.load(file, ModelLimits.DEFAULT);
    }

    @Test
    void theFullVocabularyHasTheIdsOfQwen() {
        Tokenizer tokenizer = tokenizer(SyntheticVocabulary.ORDINARY, 151_936);
        String controls = "<|endoftext|><|im_start|><|im_end|><tool_call></tool_call><|fim_prefix|><|file_sep|>";
        assertArrayEquals(
                new int[] {151643, 151644, 151645, 151657, 151658, 151659, 151664}, tokenizer.encode(controls, ControlTokens.RECOGNIZE));
        assertArrayEquals(new int[] {0, 198, 220}, new int[] {
            tokenizer.encode("!", ControlTokens.PLAIN)[0],
            tokenizer.encode("\n", ControlTokens.PLAIN)[0],
            tokenizer.encode(" ", ControlTokens.PLAIN)[0]
        });
        assertEquals(151_665, tokenizer.vocabularySize());
        int[] english = tokenizer.encode(ENGLISH, ControlTokens.PLAIN);
        assertTrue(english.length < ENGLISH.length() / 2, english.length + " tokens for " + ENGLISH.length() + " characters");
    }

    @Test
    void anyTextRoundTrips() {
        for (Tokenizer tokenizer : List.of(tokenizer(SyntheticVocabulary.ORDINARY, 152_064), tokenizer(256, 278), tokenizer(1000, 1030))) {
            for (String text : List.of(
                    ENGLISH,
                    "    if (x > 1) {\n\t\treturn x;\n\n    }\n",
                    "Zürich – naïve café, £3 ½",
                    "你好，世界 한국어 👍🏽",
                    "\u0000\u0001 1234567890 <|im_end|>")) {
                assertEquals(text, tokenizer.decode(tokenizer.encode(text, ControlTokens.PLAIN)));
            }
        }
    }

    @Test
    void sizesThatCannotBeMadeAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> tokenizer(SyntheticVocabulary.ORDINARY, 151_664));
        assertThrows(IllegalArgumentException.class, () -> tokenizer(255, 400));
        assertThrows(IllegalArgumentException.class, () -> tokenizer(1_000_000, 1_000_022));
    }
}
