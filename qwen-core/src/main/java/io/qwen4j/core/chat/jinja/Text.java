package io.qwen4j.core.chat.jinja;

import java.util.Arrays;
import java.util.List;

/**
 * An immutable string that knows of each character whether it came from a conversation (plain) or from the template. Equality looks at the
 * characters only.
 */
public final class Text {
    static final Text EMPTY = new Text("", new int[0], false);

    private static final int[] NO_EDGES = new int[0];

    private final String chars;
    /** Where the kind changes, rising, above 0 and below the length; most strings have none. */
    private final int[] edges;

    private final boolean firstPlain;

    Text(String chars, int[] edges, boolean firstPlain) {
        this.chars = chars;
        this.edges = edges;
        this.firstPlain = firstPlain;
    }

    /** A string of the program or the template. */
    public static Text trusted(String chars) {
        return new Text(chars, NO_EDGES, false);
    }

    /** A string of a conversation. */
    public static Text plain(String chars) {
        return new Text(chars, NO_EDGES, true);
    }

    /** Strings of the program and of a conversation, one after the other. */
    public static Text joined(List<Text> pieces) {
        TextBuilder text = new TextBuilder(Integer.MAX_VALUE);
        pieces.forEach(text::append);
        return text.build();
    }

    static Text of(String chars, boolean plain) {
        return new Text(chars, NO_EDGES, plain);
    }

    /** The characters. */
    public String chars() {
        return chars;
    }

    int length() {
        return chars.length();
    }

    boolean isEmpty() {
        return chars.isEmpty();
    }

    /** Number of stretches of one kind. */
    int runs() {
        return chars.isEmpty() ? 0 : edges.length + 1;
    }

    int runStart(int run) {
        return run == 0 ? 0 : edges[run - 1];
    }

    int runEnd(int run) {
        return run == edges.length ? chars.length() : edges[run];
    }

    boolean runPlain(int run) {
        return firstPlain ^ (run & 1) == 1;
    }

    /** The stretch that holds the character at an index. */
    int runAt(int index) {
        int found = Arrays.binarySearch(edges, index);
        return found >= 0 ? found + 1 : -found - 1;
    }

    boolean plainAt(int index) {
        return runPlain(runAt(index));
    }

    /** Whether any character came from a conversation. */
    boolean anyPlain() {
        return !chars.isEmpty() && (firstPlain || edges.length > 0);
    }

    Text sub(int from, int to) {
        if (from >= to) {
            return EMPTY;
        }
        if (from == 0 && to == chars.length()) {
            return this;
        }
        if (edges.length == 0) {
            return new Text(chars.substring(from, to), edges, firstPlain);
        }
        int first = runAt(from);
        int last = runAt(to - 1);
        return new Text(chars.substring(from, to), shifted(first, last, from), runPlain(first));
    }

    private int[] shifted(int first, int last, int by) {
        int[] moved = Arrays.copyOfRange(edges, first, last);
        for (int i = 0; i < moved.length; i++) {
            moved[i] -= by;
        }
        return moved;
    }

    /** Length in code points, which is what Python counts. */
    int points() {
        return chars.codePointCount(0, chars.length());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Text text && text.chars.equals(chars);
    }

    @Override
    public int hashCode() {
        return chars.hashCode();
    }

    @Override
    public String toString() {
        return chars;
    }
}
