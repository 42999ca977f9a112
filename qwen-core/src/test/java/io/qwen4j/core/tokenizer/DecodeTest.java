package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.ControlTokens;
import io.qwen4j.Tokenizer.StreamingDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Ids to text. */
class DecodeTest {
    private final BpeTokenizer tokenizer = RealTokenizer.INSTANCE;

    @ParameterizedTest
    @CsvSource({
        "41, A", "ff, ?", "80, ?", "c3, ?", "c3 a9, \u00e9", "c0 80, ??", "c1 bf, ??", "e4 bd, ?", "e4 bd a0, \u4f60", "e4 bd 41, ?A",
        "e0 80 80, ???", "e0 a0, ?", "ed 9f bf, \ud7ff", "ed a0 80, ???", "ef bf bd, \ufffd", "f0 9f 91 8d, \ud83d\udc4d", "f0 9f 91, ?",
        "f0 9f 41, ?A", "f0 80 80 80, ????", "f4 8f bf bf, \udbff\udfff", "f4 90 80 80, ????",
        "f5 80, ??", "e4 e4 bd a0, ?\u4f60", "c3 c3, ??"
    })
    void malformedBytes(String hex, String expected) {
        String[] parts = hex.split(" ");
        byte[] bytes = new byte[parts.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(parts[i], 16);
        }
        assertEquals(expected.replace('?', '\ufffd'), Text.decode(bytes, 0, bytes.length));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "\0", "a\u0000b", "\r\n", " ", "\ud83d\udc4d\ud83c\udffd", "\udbff\udfff", "\uffff\ufffe", "\u7f16\u7801",
        "\ud83d\udc68\u200d\ud83d\udc69",
        "<|im_start|>x<|im_end|>", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"
    })
    void roundTrip(String text) {
        assertEquals(text, tokenizer.decode(tokenizer.encode(text)));
        assertEquals(text, tokenizer.decode(tokenizer.encode(text, ControlTokens.PLAIN)));
    }

    @Test
    void loneSurrogatesBecomeReplacements() {
        assertArrayEquals(tokenizer.encode("a\ufffdb"), tokenizer.encode("a\ud83db"));
        assertArrayEquals(tokenizer.encode("\ufffd\ufffd"), tokenizer.encode("\udc4d\ud83d"));
        assertArrayEquals(tokenizer.encode("\ufffd\ud83d\udc4d"), tokenizer.encode("\ud83d\ud83d\udc4d"));
    }

    @Test
    void randomTextsComeBack() {
        long seed = System.nanoTime();
        var random = new Random(seed);
        for (int round = 0; round < 5000; round++) {
            var text = new StringBuilder();
            for (int i = random.nextInt(30); i > 0; i--) {
                int c = random.nextInt(random.nextInt(4) == 0 ? 0x110000 : 0x3000);
                // What NFC changes would not come back.
                if (!CodePoints.needsNfc(c) && (c < 0xd800 || c > 0xdfff)) {
                    text.appendCodePoint(c);
                }
            }
            int[] ids = tokenizer.encode(text);
            assertEquals(text.toString(), tokenizer.decode(ids), () -> "seed " + seed);
            assertEquals(text.toString(), streamed(ids, false), () -> "seed " + seed);
        }
    }

    private String streamed(int[] ids, boolean skipSpecial) {
        StreamingDecoder decoder = tokenizer.streamingDecoder(skipSpecial);
        var text = new StringBuilder();
        for (int id : ids) {
            text.append(decoder.next(id));
        }
        return text.append(decoder.finish()).toString();
    }

    @Test
    void streamsAsTheWhole() {
        long seed = System.nanoTime();
        var random = new Random(seed);
        for (int round = 0; round < 20_000; round++) {
            int[] ids = new int[random.nextInt(12)];
            for (int i = 0; i < ids.length; i++) {
                // The first ids are the bytes; the last ones are added tokens.
                int kind = random.nextInt(8);
                int any = random.nextInt(tokenizer.vocabularySize());
                ids[i] = kind < 5 ? random.nextInt(256) : kind == 5 ? 151_643 + random.nextInt(22) : any;
            }
            boolean skip = random.nextBoolean();
            assertEquals(tokenizer.decode(ids, skip), streamed(ids, skip), () -> "seed " + seed);
        }
    }

    @Test
    void streamNeverSplitsACharacter() {
        String text = "\ud83d\udc4d\u4f60\u597d\u00e9\ud834\udd5e\u0939\u093f";
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int[] byteIds = new int[bytes.length];
        for (int id = 0; id < 256; id++) {
            byte[] one = tokenizer.tokenBytes(id);
            for (int i = 0; i < bytes.length; i++) {
                if (bytes[i] == one[0]) {
                    byteIds[i] = id;
                }
            }
        }
        StreamingDecoder decoder = tokenizer.streamingDecoder(false);
        var whole = new StringBuilder();
        for (int id : byteIds) {
            String piece = decoder.next(id);
            assertFalse(piece.contains("\ufffd"));
            assertFalse(!piece.isEmpty() && Character.isHighSurrogate(piece.charAt(piece.length() - 1)));
            whole.append(piece);
        }
        assertEquals("", decoder.finish());
        assertEquals(text, whole.toString());
    }

    @Test
    void finishReplacesWhatIsIncomplete() {
        StreamingDecoder decoder = tokenizer.streamingDecoder(false);
        int lead = -1;
        for (int id = 0; id < 256; id++) {
            if (tokenizer.tokenBytes(id)[0] == (byte) 0xf0) {
                lead = id;
            }
        }
        assertEquals("", decoder.next(lead));
        assertEquals("\ufffd", decoder.finish());
        assertEquals("", decoder.finish());
        assertEquals("Hello", decoder.next(9707));
    }

    @Test
    void specialTokensAreSkippedOnRequest() {
        int[] ids = tokenizer.encode("<|im_start|>a<tool_call>b<|im_end|><|fim_prefix|>");
        assertEquals("a<tool_call>b<|fim_prefix|>", tokenizer.decode(ids, true));
        assertEquals("a<tool_call>b<|fim_prefix|>", streamed(ids, true));
        assertEquals("<|im_end|>", new String(tokenizer.tokenBytes(151_645), StandardCharsets.UTF_8));
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, Integer.MIN_VALUE, 151_665, 151_935, Integer.MAX_VALUE})
    void idsOutOfRange(int id) {
        assertThrows(IllegalArgumentException.class, () -> tokenizer.decode(new int[] {0, id}));
        assertThrows(IllegalArgumentException.class, () -> tokenizer.tokenBytes(id));
        assertThrows(IllegalArgumentException.class, () -> tokenizer.isSpecial(id));
        assertThrows(IllegalArgumentException.class, () -> tokenizer.streamingDecoder(false).next(id));
        assertThrows(IllegalArgumentException.class, () -> tokenizer.streamingDecoder(true).next(id));
    }

    @Test
    void bytesAreCopies() {
        tokenizer.tokenBytes(9707)[0] = 0;
        assertEquals("Hello", tokenizer.decode(new int[] {9707}));
    }
}
