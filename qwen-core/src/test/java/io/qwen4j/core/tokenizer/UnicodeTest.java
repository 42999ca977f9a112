package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.text.Normalizer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Our tables against those of the JDK, where its version of Unicode cannot matter. */
class UnicodeTest {
    /** The last JDK whose Unicode is not newer than our classes. */
    private static final int LAST_JDK = 25;

    @Test
    void classesAreThoseOfTheJdk() {
        int letters = 0;
        for (int c = 0; c <= Character.MAX_CODE_POINT; c++) {
            int type = Character.getType(c);
            int expected = switch (type) {
                case Character.UPPERCASE_LETTER, Character.LOWERCASE_LETTER, Character.TITLECASE_LETTER, Character.MODIFIER_LETTER,
                        Character.OTHER_LETTER -> CodePoints.LETTER;
                case Character.DECIMAL_DIGIT_NUMBER, Character.LETTER_NUMBER, Character.OTHER_NUMBER -> CodePoints.NUMBER;
                default -> CodePoints.OTHER;
            };
            int found = CodePoints.classOf(c);
            letters += found == CodePoints.LETTER ? 1 : 0;
            boolean newerHere = type == Character.UNASSIGNED && found != CodePoints.SPACE;
            boolean newerThere = found == CodePoints.OTHER && Runtime.version().feature() > LAST_JDK;
            if (found != CodePoints.SPACE && !newerHere && !newerThere) {
                assertEquals(expected, found, String.format("U+%04X", c));
            }
            boolean space = Character.isSpaceChar(c) || (c >= 9 && c <= 13) || c == 0x85;
            assertEquals(space, found == CodePoints.SPACE, String.format("U+%04X", c));
        }
        assertEquals(141_028, letters); // Unicode 16
    }

    /** Code points whose normalisation has been the same since Unicode 9: those of our tables, and some that it leaves alone. */
    private static List<Integer> pool() {
        List<Integer> pool = new ArrayList<>();
        for (int c = 0; c <= Character.MAX_CODE_POINT; c++) {
            if (CodePoints.needsNfc(c) || (c >= 'a' && c < 'f')) {
                pool.add(c);
            }
        }
        for (int c : new int[] {0x1100, 0x1112, 0xac00, 0xac01, 0xd7a3, 0xe9, 0x1ea4, 0x9c7, 0xdd9, 0x4e00, 0x1f44d, 0x10900, 0xb47}) {
            for (int i = 0; i < 40; i++) {
                pool.add(c);
            }
        }
        return pool;
    }

    @Test
    void normalizesAsTheJdk() {
        long seed = System.nanoTime();
        var random = new Random(seed);
        List<Integer> pool = pool();
        assertTrue(pool.size() > 2000);
        for (int round = 0; round < 20_000; round++) {
            var text = new StringBuilder();
            int length = 1 + random.nextInt(random.nextInt(20) == 0 ? 80 : 8);
            int first = random.nextInt(pool.size());
            for (int i = 0; i < length; i++) {
                // Neighbours in the pool belong together: vowels, marks of one script.
                int at = random.nextBoolean() ? random.nextInt(pool.size()) : Math.min(first + random.nextInt(8), pool.size() - 1);
                text.appendCodePoint(pool.get(at));
            }
            assertEquals(Normalizer.normalize(text, Normalizer.Form.NFC), nfc(text.toString()), () -> "seed " + seed + " " + escaped(text));
        }
    }

    @Test
    void everyCodePointAloneAndBetweenOthers() {
        for (int c : pool()) {
            String s = Character.toString(c);
            for (String text : new String[] {s, "a" + s + "\u0301", "\u0345" + s, s + "\u0334", "\u1100" + s + "\u11a8", s + s}) {
                assertEquals(Normalizer.normalize(text, Normalizer.Form.NFC), nfc(text), () -> escaped(text));
            }
        }
    }

    /** Newer than Unicode 9, so the reference leaves it alone: a mark of Unicode 14 and a pair that composes since Unicode 13. */
    @Test
    void newerCodePointsStay() {
        for (String text : new String[] {"a\u1ac1\u0323", "\ud806\udd35\ud806\udd30", "a\u0301\u1df6\u0323"}) {
            String expected = text.equals("a\u0301\u1df6\u0323") ? "\u00e1\u1df6\u0323" : text;
            assertEquals(expected, nfc(text), () -> escaped(text));
        }
    }

    private static String nfc(String text) {
        char[] characters = text.toCharArray();
        if (Nfc.quickCheck(characters, 0, characters.length) == characters.length) {
            return text;
        }
        // Something in front, so that the range is looked at and not the array.
        char[] shifted = ("\u0301" + text + "\u0301").toCharArray();
        Nfc.Result result = Nfc.normalize(shifted, 1, shifted.length - 1);
        return new String(result.text(), 0, result.length());
    }

    @Test
    void cutsAsTheRegularExpression() {
        Pattern pattern = Pattern.compile(
                PreTokenizer.PATTERN.replace("(?i:", "(?iu:"), Pattern.UNICODE_CHARACTER_CLASS);
        long seed = System.nanoTime();
        var random = new Random(seed);
        String[] parts = {
            "'", "s", "S", "\u017f", "'ll", "'RE", "'vE", "'m", "'D", "'t", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u0085",
            "\u2028", "word", "\u00e9", "\u4e2d", "\ud835\udc00", "\u0301", "1", "42", "\u0663", "\u00bd", "\ud835\udfd8", "!", "...", "_",
            "\ud83d\udc4d", "\u200d", "\u0000", "\u001f", "\ue000", "\u0e01", "\u0e38", "\u0939\u093f", "\uac00", "\u1100",
            "\ufe0f", "$", "\u2019"
        };
        for (int round = 0; round < 20_000; round++) {
            var text = new StringBuilder();
            for (int i = 1 + random.nextInt(12); i > 0; i--) {
                text.append(parts[random.nextInt(parts.length)]);
            }
            List<Integer> expected = new ArrayList<>();
            Matcher matcher = pattern.matcher(text);
            while (matcher.find()) {
                expected.add(matcher.end());
            }
            List<Integer> found = new ArrayList<>();
            char[] characters = text.toString().toCharArray();
            for (int i = 0; i < characters.length; ) {
                i = PreTokenizer.wordEnd(characters, i, characters.length);
                found.add(i);
            }
            assertArrayEquals(expected.toArray(), found.toArray(), () -> "seed " + seed + " " + escaped(text));
        }
    }

    static String escaped(CharSequence text) {
        var out = new StringBuilder();
        text.chars().forEach(c -> out.append(c > 32 && c < 127 ? String.valueOf((char) c) : String.format("\\u%04x", c)));
        return out.toString();
    }
}
