package io.qwen4j.core.filter;

import io.qwen4j.ControlTokens;
import io.qwen4j.Tokenizer;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;

/**
 * A document, or as much of its beginning as may be scored. Nothing in it is a control token.
 *
 * @param text what is left of it, whole characters only
 * @param kept tokens of that
 * @param ids tokens of the whole document
 */
record CutDocument(Tokenizer tokenizer, String text, int kept, int[] ids, boolean mayCut) {
    /**
     * Cuts a document.
     *
     * @param most tokens that are left of it at most
     * @param mayCut whether a longer one is cut; else it is an error
     */
    static CutDocument of(Tokenizer tokenizer, String document, int most, boolean mayCut) {
        if (document.isBlank()) {
            throw new DocumentException(
                    Reason.EMPTY, "expected a text, found " + (document.isEmpty() ? "an empty one" : "white space only"), null);
        }
        int[] ids = tokenizer.encode(document, ControlTokens.PLAIN);
        CutDocument whole = new CutDocument(tokenizer, document, ids.length, ids, mayCut);
        return ids.length <= most ? whole : whole.cutTo(most);
    }

    /** The same with so many tokens less, or a few more than that. */
    CutDocument shorter(int tokens) {
        return cutTo(kept - tokens);
    }

    private CutDocument cutTo(int most) {
        if (!mayCut) {
            throw tooLong(most, "");
        }
        int count = most;
        while (count > 0) {
            String beginning = decode(count);
            // Cut off from what followed it the text may be cut into other tokens, and a few more.
            int found = tokenizer.encode(beginning, ControlTokens.PLAIN).length;
            if (found <= most && !beginning.isBlank()) {
                return new CutDocument(tokenizer, beginning, found, ids, true);
            }
            count -= Math.max(1, found - most);
        }
        throw tooLong(most, ", and nothing is left of it when it is truncated");
    }

    private DocumentException tooLong(int most, String more) {
        return new DocumentException(
                Reason.TOO_LONG, "expected at most " + Math.max(0, most) + " tokens, found " + ids.length + more, null);
    }

    /** Bytes of a character that is cut in two are left out. */
    private String decode(int count) {
        Tokenizer.StreamingDecoder decoder = tokenizer.streamingDecoder(false);
        StringBuilder decoded = new StringBuilder();
        for (int i = 0; i < count; i++) {
            decoded.append(decoder.next(ids[i]));
        }
        return decoded.toString();
    }
}
