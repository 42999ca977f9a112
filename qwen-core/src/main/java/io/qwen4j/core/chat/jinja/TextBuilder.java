package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.Arrays;

/** Collects a {@link Text} up to a number of characters. */
final class TextBuilder {
    private final StringBuilder chars = new StringBuilder();
    private final int limit;
    private int[] edges = new int[4];
    private int edgeCount;
    private boolean firstPlain;
    private boolean lastPlain;

    TextBuilder(int limit) {
        this.limit = limit;
    }

    int length() {
        return chars.length();
    }

    TextBuilder append(CharSequence piece, boolean plain) {
        return append(piece, 0, piece.length(), plain);
    }

    TextBuilder append(CharSequence piece, int from, int to, boolean plain) {
        if (from >= to) {
            return this;
        }
        if (to - from > limit - chars.length()) {
            throw new TemplateException("a string made by the chat template exceeds " + limit + " characters");
        }
        if (chars.length() == 0) {
            firstPlain = plain;
        } else if (plain != lastPlain) {
            if (edgeCount == edges.length) {
                edges = Arrays.copyOf(edges, edgeCount * 2);
            }
            edges[edgeCount++] = chars.length();
        }
        lastPlain = plain;
        chars.append(piece, from, to);
        return this;
    }

    TextBuilder append(Text text) {
        return append(text, 0, text.length());
    }

    TextBuilder append(Text text, int from, int to) {
        if (from < to) {
            for (int run = text.runAt(from); run < text.runs() && text.runStart(run) < to; run++) {
                append(text.chars(), Math.max(from, text.runStart(run)), Math.min(to, text.runEnd(run)), text.runPlain(run));
            }
        }
        return this;
    }

    Text build() {
        return new Text(chars.toString(), Arrays.copyOf(edges, edgeCount), firstPlain);
    }
}
