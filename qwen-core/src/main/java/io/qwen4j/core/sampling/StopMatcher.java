package io.qwen4j.core.sampling;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Finds stop strings in a text that comes in pieces, whatever the pieces are: the automaton of Aho and Corasick (1975), linear in the text.
 * What may still become a stop string is held back, and only that. The stop string that is complete first ends the text; of several that
 * end with the same character the longest does. Not thread-safe.
 */
public final class StopMatcher {
    private final List<String> stops;
    /** Edges of the trie in an open-addressed table: node and character to node; 0 is an empty slot. */
    private final long[] edgeKeys;

    private final int[] edgeTargets;
    /** By node: the node of the longest proper suffix that begins a stop string. */
    private final int[] fallback;
    /** By node: length of what leads to it. */
    private final int[] depth;
    /** By node: the longest stop string that ends here, or -1. */
    private final int[] stopAt;

    private final StringBuilder held = new StringBuilder();
    private int nodes = 1;
    private int node;
    private @Nullable String matched;

    /**
     * @param stops the stop strings, none empty
     */
    public StopMatcher(List<String> stops) {
        this.stops = List.copyOf(stops);
        int characters = 0;
        for (String stop : stops) {
            if (stop.isEmpty()) {
                throw new IllegalArgumentException("a stop string is empty");
            }
            characters = Math.addExact(characters, stop.length());
        }
        int slots = Integer.highestOneBit(Math.max(4, characters)) * 4;
        edgeKeys = new long[slots];
        edgeTargets = new int[slots];
        fallback = new int[characters + 1];
        depth = new int[characters + 1];
        stopAt = new int[characters + 1];
        Arrays.fill(stopAt, -1);
        int[] order = new int[characters + 1];
        char[] byChar = new char[characters + 1];
        int[] parents = new int[characters + 1];
        for (int i = 0; i < this.stops.size(); i++) {
            addStop(i, byChar, parents);
        }
        link(order, byChar, parents);
    }

    private void addStop(int index, char[] byChar, int[] parents) {
        String stop = stops.get(index);
        int at = 0;
        for (int i = 0; i < stop.length(); i++) {
            int slot = slot(at, stop.charAt(i));
            if (edgeKeys[slot] == 0) {
                edgeKeys[slot] = key(at, stop.charAt(i));
                edgeTargets[slot] = nodes;
                byChar[nodes] = stop.charAt(i);
                parents[nodes] = at;
                depth[nodes] = i + 1;
                nodes++;
            }
            at = edgeTargets[slot];
        }
        if (stopAt[at] < 0) {
            stopAt[at] = index;
        }
    }

    /** Sets fallbacks in order of depth, shorter ones first. */
    private void link(int[] order, char[] byChar, int[] parents) {
        int[] firstOfDepth = new int[nodes + 1];
        for (int n = 1; n < nodes; n++) {
            firstOfDepth[depth[n] + 1]++;
        }
        for (int d = 1; d <= nodes; d++) {
            firstOfDepth[d] += firstOfDepth[d - 1];
        }
        for (int n = 1; n < nodes; n++) {
            order[firstOfDepth[depth[n]]++] = n;
        }
        for (int i = 0; i < nodes - 1; i++) {
            int n = order[i];
            if (depth[n] > 1) {
                fallback[n] = step(fallback[parents[n]], byChar[n]);
            }
            if (stopAt[n] < 0) {
                stopAt[n] = stopAt[fallback[n]];
            }
        }
    }

    private static long key(int from, char c) {
        return ((long) from + 1) << 16 | c;
    }

    private int slot(int from, char c) {
        long key = key(from, c);
        int slot = (int) ((key * 0x9E3779B97F4A7C15L) >>> 32) & edgeKeys.length - 1;
        while (edgeKeys[slot] != 0 && edgeKeys[slot] != key) {
            slot = slot + 1 & edgeKeys.length - 1;
        }
        return slot;
    }

    private int step(int from, char c) {
        int at = from;
        while (true) {
            int slot = slot(at, c);
            if (edgeKeys[slot] != 0) {
                return edgeTargets[slot];
            }
            if (at == 0) {
                return 0;
            }
            at = fallback[at];
        }
    }

    /**
     * Takes more text.
     *
     * @return what of all text so far is certain now and was not returned before; nothing after a match
     */
    public String feed(String text) {
        if (matched != null || text.isEmpty()) {
            return "";
        }
        for (int i = 0; i < text.length(); i++) {
            node = step(node, text.charAt(i));
            if (stopAt[node] >= 0) {
                matched = stops.get(stopAt[node]);
                held.append(text, 0, i + 1);
                held.setLength(held.length() - matched.length());
                return release(held.length());
            }
        }
        held.append(text);
        int certain = held.length() - depth[node];
        if (certain > 0 && certain < held.length() && Character.isHighSurrogate(held.charAt(certain - 1))) {
            certain--;
        }
        return release(certain);
    }

    /**
     * Ends the text.
     *
     * @return what was held back, which is no stop string after all; nothing after a match
     */
    public String finish() {
        return matched == null ? release(held.length()) : "";
    }

    /** The stop string that ended the text, or null. */
    public @Nullable String matched() {
        return matched;
    }

    private String release(int length) {
        String released = held.substring(0, length);
        held.delete(0, length);
        return released;
    }
}
