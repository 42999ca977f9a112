package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ControlTokens;
import io.qwen4j.RenderedPrompt;
import io.qwen4j.RenderedPrompt.Segment;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Added tokens: where they are found, and where they must not be. */
class AddedTokenTest {
    private static final int END = 151_645;

    @TempDir
    Path directory;

    private final BpeTokenizer real = RealTokenizer.INSTANCE;

    private static Segment template(String text) {
        return new Segment(text, ControlTokens.RECOGNIZE);
    }

    private static Segment content(String text) {
        return new Segment(text, ControlTokens.PLAIN);
    }

    private int[] encode(Segment... segments) {
        return real.encode(new RenderedPrompt(List.of(segments)));
    }

    private static boolean contains(int[] ids, int id) {
        return Arrays.stream(ids).anyMatch(i -> i == id);
    }

    @Test
    void plainTextHasNoControlTokens() {
        for (String text : new String[] {"<|im_end|>", "a<|im_start|>system\nb", "<tool_call>{}", "<|endoftext|><|fim_prefix|>"}) {
            int[] ids = real.encode(text, ControlTokens.PLAIN);
            assertTrue(Arrays.stream(ids).allMatch(id -> id < 151_643), text);
            assertEquals(text, real.decode(ids));
            assertEquals(text, real.decode(ids, true));
        }
        assertArrayEquals(new int[] {27, 91, 318, 6213, 91, 29}, real.encode("<|im_end|>", ControlTokens.PLAIN));
    }

    @Test
    void contentIsPlainAndTemplateIsNot() {
        int[] ids = encode(template("<|im_start|>user\n"), content("<|im_end|>"), template("<|im_end|>\n"));
        assertEquals(1, Arrays.stream(ids).filter(id -> id == END).count());
        assertEquals(END, ids[ids.length - 2]);
    }

    @Test
    void spellingAcrossABorderIsNoMatch() {
        assertFalse(contains(encode(template("<|im_"), content("end|>")), END));
        assertFalse(contains(encode(content("<|im_"), template("end|>")), END));
        assertFalse(contains(encode(template("<|im_end|"), content(">")), END));
        assertFalse(contains(encode(content("<"), template("|im_end|>")), END));
        assertTrue(contains(encode(template("<|im_"), template("end|>")), END), "both parts are the template's");
        assertTrue(contains(encode(template("<|im_"), content(""), template("end|>")), END), "an empty content is no border");
    }

    @Test
    void bordersDoNotCutWords() {
        assertArrayEquals(real.encode("Hello world"), encode(template("Hel"), content("lo wor"), template("ld")));
        assertArrayEquals(real.encode("user\n\n\nHi"), encode(template("user\n"), content("\n\nHi")));
        assertArrayEquals(real.encode("e\u0301"), encode(template("e"), content("\u0301")), "normalised across the border");
        assertArrayEquals(real.encode("\ud83d\udc4d"), encode(content("\ud83d"), content("\udc4d")), "halves of a character");
    }

    @Test
    void segmentsAreEncodedAsTheWhole() {
        long seed = System.nanoTime();
        var random = new Random(seed);
        String[] parts = {
            "Hello", " ", "\n", "e", "\u0301", "'s", "42", "\u4f60\u597d", "<|im_end|>", "\n\n", "\u1100", "\u1161", "a b c", "<tool_call>"
        };
        for (int round = 0; round < 2000; round++) {
            List<Segment> segments = new ArrayList<>();
            for (int i = random.nextInt(10); i >= 0; i--) {
                String part = parts[random.nextInt(parts.length)];
                segments.add(part.startsWith("<") || random.nextBoolean() ? template(part) : content(part));
            }
            var prompt = new RenderedPrompt(segments);
            assertArrayEquals(real.encode(prompt.text()), real.encode(prompt), () -> "seed " + seed + " " + segments);
        }
    }

    @Test
    void emptyPrompt() {
        assertEquals(0, encode().length);
        assertEquals(0, encode(template(""), content("")).length);
        assertEquals(0, real.encode("").length);
    }

    @Test
    void leftmostThenLongest() throws IOException {
        var files = new SmallFiles();
        int shorter = files.next;
        files.add("<a", false);
        int longer = files.next;
        files.add("<ab>", false);
        int other = files.next;
        files.add("ab>x", false);
        BpeTokenizer small = files.load(directory);
        assertArrayEquals(new int[] {longer, 'x' - 33 + idOf(small, "!")}, small.encode("<ab>x"));
        assertArrayEquals(new int[] {shorter, idOf(small, "b"), idOf(small, "c")}, small.encode("<abc"));
        assertArrayEquals(new int[] {other}, small.encode("ab>x"));
    }

    private static int idOf(BpeTokenizer tokenizer, String text) {
        int[] ids = tokenizer.encode(text, ControlTokens.PLAIN);
        assertEquals(1, ids.length);
        return ids[0];
    }

    @Test
    void strippingTakesWhiteSpace() throws IOException {
        var files = new SmallFiles();
        int left = files.next;
        files.add("<l>", false).put("lstrip", true);
        int right = files.next;
        files.add("<r>", false).put("rstrip", true);
        BpeTokenizer small = files.load(directory);
        int a = idOf(small, "a");
        assertArrayEquals(new int[] {a, left, idOf(small, " "), a}, small.encode("a \n<l> a"));
        assertArrayEquals(new int[] {a, idOf(small, " "), right, a}, small.encode("a <r>\u3000\n a"));
        assertArrayEquals(new int[] {right, left}, small.encode(" <r>  <l> ".strip()));
    }

    @Test
    void normalizedTokensAreFoundInNormalizedText() throws IOException {
        var files = new SmallFiles();
        int id = files.next;
        files.add("caf\u00e9", false).put("normalized", true);
        int raw = files.next;
        files.add("the\u0301", false);
        BpeTokenizer small = files.load(directory);
        assertArrayEquals(new int[] {id}, small.encode("cafe\u0301"));
        assertArrayEquals(new int[] {id}, small.encode("caf\u00e9"));
        assertArrayEquals(new int[] {raw}, small.encode("the\u0301"));
        assertFalse(contains(small.encode("th\u00e9"), raw));
        assertFalse(contains(small.encode("caf\u00e9", ControlTokens.PLAIN), id));
        var prompt = new RenderedPrompt(List.of(template("caf\u00e9"), content("caf\u00e9"), template("caf"), content("\u00e9")));
        assertEquals(1, Arrays.stream(small.encode(prompt)).filter(i -> i == id).count());
        assertEquals(id, small.encode(prompt)[0]);
    }

    @Test
    void withoutNormalizer() throws IOException {
        var files = new SmallFiles();
        files.json.putNull("normalizer");
        int id = files.next;
        files.add("caf\u00e9", false).put("normalized", true);
        BpeTokenizer small = files.load(directory);
        assertEquals(3, small.encode("e\u0301").length);
        assertArrayEquals(new int[] {id}, small.encode("caf\u00e9"));
    }
}
