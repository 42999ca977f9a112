package io.qwen4j.core.tokenizer;

import java.util.Arrays;
import java.util.BitSet;
import java.util.function.IntConsumer;

/**
 * Canonical decomposition, composition and combining classes of Unicode 9. The table has lines
 * {@code C first last class}, {@code P composed a b} (composes again) and {@code D decomposed a [b]} (never composes).
 */
final class Canonical {
    static final Canonical TABLES = new Canonical();

    private static final int HANGUL = 0xac00;
    private static final int HANGUL_END = 0xd7a4;
    private static final int LEAD = 0x1100;
    private static final int VOWEL = 0x1161;
    /** One before the first trailing consonant. */
    private static final int TRAIL = 0x11a7;
    private static final int LEADS = 19;
    private static final int VOWELS = 21;
    private static final int TRAILS = 28;

    /** Beyond the largest mark, U+1E94A. */
    private static final int MARKS_END = 0x1e94b;

    private final byte[] combiningClass = new byte[MARKS_END];

    /** Code points that decompose, ascending, and their single-step decompositions (0 where there is no second part). */
    private int[] decomposed = new int[2100];
    private int[] first = new int[2100];
    private int[] second = new int[2100];
    private int decompositions;

    /** Pairs that compose: both parts in one number, ascending, and what they become. */
    private final long[] pairs;
    private final int[] composed;

    private Canonical() {
        long[] found = new long[1000];
        int pairCount = 0;
        var data = new UnicodeData("canonical.txt");
        for (char kind = data.nextLine(); kind != 0; kind = data.nextLine()) {
            int a = data.number();
            int b = data.number();
            int c = data.hasNumber() ? data.number() : 0;
            if (kind == 'C') {
                Arrays.fill(combiningClass, a, b + 1, (byte) c);
            } else {
                decomposed[decompositions] = a;
                first[decompositions] = b;
                second[decompositions] = c;
                if (kind == 'P') {
                    found[pairCount++] = (pair(b, c) << 12) | decompositions;
                }
                decompositions++;
            }
            if (c != 0 && data.hasNumber()) {
                throw new IllegalStateException("canonical.txt has a line with more than three numbers");
            }
        }
        decomposed = Arrays.copyOf(decomposed, decompositions);
        Arrays.sort(found, 0, pairCount);
        pairs = new long[pairCount];
        composed = new int[pairCount];
        for (int i = 0; i < pairCount; i++) {
            pairs[i] = found[i] >>> 12;
            composed[i] = decomposed[(int) (found[i] & 0xfff)];
        }
    }

    private static long pair(int a, int b) {
        return ((long) a << 21) | b;
    }

    /** The canonical combining class. */
    int combiningClass(int c) {
        return c < MARKS_END ? combiningClass[c] & 0xff : 0;
    }

    /** What two code points compose to, or -1. */
    int compose(int a, int b) {
        if (a >= LEAD && a < LEAD + LEADS && b >= VOWEL && b < VOWEL + VOWELS) {
            return HANGUL + ((a - LEAD) * VOWELS + (b - VOWEL)) * TRAILS;
        }
        if (a >= HANGUL && a < HANGUL_END && (a - HANGUL) % TRAILS == 0 && b > TRAIL && b < TRAIL + TRAILS) {
            return a + (b - TRAIL);
        }
        int i = Arrays.binarySearch(pairs, pair(a, b));
        return i < 0 ? -1 : composed[i];
    }

    /** Writes the full decomposition of a code point, at most four code points, and returns where it ends. */
    int decompose(int c, int[] target, int at) {
        if (c >= HANGUL && c < HANGUL_END) {
            int s = c - HANGUL;
            target[at] = LEAD + s / (VOWELS * TRAILS);
            target[at + 1] = VOWEL + s % (VOWELS * TRAILS) / TRAILS;
            if (s % TRAILS == 0) {
                return at + 2;
            }
            target[at + 2] = TRAIL + s % TRAILS;
            return at + 3;
        }
        int i = Arrays.binarySearch(decomposed, c);
        if (i < 0) {
            target[at] = c;
            return at + 1;
        }
        int end = decompose(first[i], target, at);
        return second[i] == 0 ? end : decompose(second[i], target, end);
    }

    /** Tells the code points whose combining class is not 0. */
    void forEachMark(IntConsumer action) {
        for (int c = 0; c < MARKS_END; c++) {
            if (combiningClass[c] != 0) {
                action.accept(c);
            }
        }
    }

    /** Tells the code points that NFC replaces or joins to one before, and those whose decomposition begins with such a one. */
    void forEachJoining(IntConsumer action) {
        var joins = new BitSet();
        for (long pair : pairs) {
            joins.set((int) (pair & 0x1fffff));
        }
        joins.set(VOWEL, VOWEL + VOWELS);
        joins.set(TRAIL + 1, TRAIL + TRAILS);
        int[] parts = new int[8];
        for (int i = 0; i < decompositions; i++) {
            decompose(decomposed[i], parts, 0);
            boolean stays = second[i] != 0 && compose(first[i], second[i]) == decomposed[i];
            if (!stays || joins.get(parts[0]) || combiningClass(parts[0]) != 0) {
                joins.set(decomposed[i]);
            }
        }
        joins.stream().forEach(action);
    }
}
