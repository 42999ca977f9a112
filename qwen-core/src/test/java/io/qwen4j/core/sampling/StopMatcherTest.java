package io.qwen4j.core.sampling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopMatcherTest {
    private static String run(StopMatcher matcher, String text, int... cuts) {
        StringBuilder out = new StringBuilder();
        int from = 0;
        for (int cut : cuts) {
            out.append(matcher.feed(text.substring(from, cut)));
            from = cut;
        }
        return out.append(matcher.feed(text.substring(from))).append(matcher.finish()).toString();
    }

    private static void check(List<String> stops, String text, String expected, String stop) {
        for (int a = 0; a <= text.length(); a++) {
            for (int b = a; b <= text.length(); b++) {
                StopMatcher matcher = new StopMatcher(stops);
                assertEquals(expected, run(matcher, text, a, b));
                assertEquals(stop, matcher.matched());
                assertEquals("", matcher.feed("more"));
            }
        }
    }

    @Test
    void findsStopsAcrossPieces() {
        check(List.of("END"), "Hello END world", "Hello ", "END");
        check(List.of("\n\n", "User:"), "a\nb\n\nc", "a\nb", "\n\n");
        check(List.of("User:"), "Use User User:", "Use User ", "User:");
        check(List.of("aab"), "aaaab", "aa", "aab");
        check(List.of("abcd", "bc"), "xabcd", "xa", "bc");
        check(List.of("bc", "abc"), "xabcd", "x", "abc");
        check(List.of("a"), "a", "", "a");
        check(List.of("abab"), "abaabab", "aba", "abab");
        check(List.of("\ud83d\ude00!"), "x\ud83d\ude00y\ud83d\ude00!", "x\ud83d\ude00y", "\ud83d\ude00!");
    }

    @Test
    void withoutAMatchNothingIsLost() {
        for (String text : List.of("", "EN", "ENEN", "nothing", "Use")) {
            StopMatcher matcher = new StopMatcher(List.of("END", "User:"));
            assertEquals(text, run(matcher, text));
            assertNull(matcher.matched());
        }
        assertEquals("abc", run(new StopMatcher(List.of()), "abc", 1, 2));
        assertThrows(IllegalArgumentException.class, () -> new StopMatcher(List.of("a", "")));
    }

    @Test
    void holdsBackOnlyWhatMayBecomeAStop() {
        StopMatcher matcher = new StopMatcher(List.of("abc", "bcd!"));
        assertEquals("x", matcher.feed("xab"));
        assertEquals("abababd", matcher.feed("ababd"));
        assertEquals("", matcher.feed("bcd"));
        assertEquals("bcd?", matcher.feed("?"));
    }

    /** Against a search of each stop string at each end; on texts of few letters, so that much overlaps. */
    @Test
    void agreesWithSearching() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 20_000; round++) {
            List<String> stops = new ArrayList<>();
            for (int n = 1 + random.nextInt(5); n > 0; n--) {
                stops.add(letters(random, 1 + random.nextInt(5)));
            }
            String text = letters(random, random.nextInt(30));
            String expected = text;
            String stop = null;
            for (int end = 1; end <= text.length() && stop == null; end++) {
                for (String s : stops) {
                    if (text.startsWith(s, end - s.length()) && (stop == null || s.length() > stop.length())) {
                        stop = s;
                        expected = text.substring(0, end - s.length());
                    }
                }
            }
            StopMatcher matcher = new StopMatcher(stops);
            StringBuilder out = new StringBuilder();
            for (int at = 0; at < text.length() && matcher.matched() == null; ) {
                int next = Math.min(text.length(), at + random.nextInt(4));
                out.append(matcher.feed(text.substring(at, next)));
                at = next;
                if (matcher.matched() == null) {
                    int certain = out.length();
                    int read = at;
                    String now = text;
                    assertTrue(
                            certain == read || stops.stream().anyMatch(s -> s.startsWith(now.substring(certain, read))),
                            "seed " + seed + ": " + stops + " hold back too much of " + text);
                }
            }
            out.append(matcher.finish());
            assertEquals(expected, out.toString(), "seed " + seed + ": " + stops + " in " + text);
            assertEquals(stop, matcher.matched());
        }
    }

    private static String letters(Random random, int length) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append((char) ('a' + random.nextInt(3)));
        }
        return text.toString();
    }

    /** Sixty-four stop strings of a thousand characters on text that nearly matches everywhere. */
    @Test
    void hostileStopsTakeLinearTime() {
        List<String> stops = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            stops.add("a".repeat(999) + (char) ('b' + i));
        }
        StopMatcher matcher = new StopMatcher(stops);
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < 200_000; i++) {
            out.append(matcher.feed("aaaaa"));
        }
        assertEquals(1_000_000 - 999, out.length());
        out.append(matcher.feed("c"));
        assertEquals(1_000_000 - 999, out.length());
        assertEquals(stops.get(1), matcher.matched());
    }
}
