package io.qwen4j.core.tokenizer;

import java.util.Arrays;
import java.util.Collection;
import org.jspecify.annotations.Nullable;

/** Finds added tokens in text: the leftmost one, of several that start there the longest. Immutable. */
final class AddedTokens {
    private final Node root = new Node();

    /** One bit for each character that begins a spelling. */
    private final long[] first = new long[1 << 10];

    private final boolean none;

    private static final class Node {
        private char[] keys = new char[0];
        private Node[] children = new Node[0];
        private @Nullable AddedToken token;

        private @Nullable Node child(char key) {
            // Most nodes have one child.
            if (keys.length == 1) {
                return keys[0] == key ? children[0] : null;
            }
            int i = Arrays.binarySearch(keys, key);
            return i < 0 ? null : children[i];
        }

        private Node childOrNew(char key) {
            int i = Arrays.binarySearch(keys, key);
            if (i >= 0) {
                return children[i];
            }
            int at = -i - 1;
            char[] moreKeys = new char[keys.length + 1];
            Node[] moreChildren = new Node[keys.length + 1];
            System.arraycopy(keys, 0, moreKeys, 0, at);
            System.arraycopy(keys, at, moreKeys, at + 1, keys.length - at);
            System.arraycopy(children, 0, moreChildren, 0, at);
            System.arraycopy(children, at, moreChildren, at + 1, keys.length - at);
            moreKeys[at] = key;
            moreChildren[at] = new Node();
            keys = moreKeys;
            children = moreChildren;
            return moreChildren[at];
        }
    }

    /** Tokens of different, non-empty spellings. */
    AddedTokens(Collection<AddedToken> tokens) {
        none = tokens.isEmpty();
        for (AddedToken token : tokens) {
            String spelling = token.spelling();
            Node node = root;
            for (int i = 0; i < spelling.length(); i++) {
                node = node.childOrNew(spelling.charAt(i));
            }
            node.token = token;
            first[spelling.charAt(0) >> 6] |= 1L << spelling.charAt(0);
        }
    }

    boolean isEmpty() {
        return none;
    }

    /** The first place from {@code from} on where a spelling may begin, or {@code end}. */
    int nextCandidate(char[] text, int from, int end) {
        if (none) {
            return end;
        }
        for (int i = from; i < end; i++) {
            if ((first[text[i] >> 6] & 1L << text[i]) != 0) {
                return i;
            }
        }
        return end;
    }

    /** The longest token that starts at {@code from} and ends at {@code end} or before, or null. */
    @Nullable AddedToken longest(char[] text, int from, int end) {
        AddedToken found = null;
        Node node = root;
        for (int i = from; i < end; i++) {
            node = node.child(text[i]);
            if (node == null) {
                break;
            }
            if (node.token != null) {
                found = node.token;
            }
        }
        return found;
    }
}
