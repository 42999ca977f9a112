package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;
import java.util.OptionalInt;

/**
 * Byte-level BPE: text to token ids and back. Thread-safe.
 *
 * <p>Encoding normalises to NFC and never adds tokens of its own (no beginning-of-sequence token, no prefix space). A lone surrogate in the
 * text counts as U+FFFD. Time is linear in the length of the text.
 */
public interface Tokenizer {
    /**
     * Reads the tokenizer of a model; needs no weights.
     *
     * @param model a directory with tokenizer.json, or vocab.json and merges.txt, or a GGUF file
     * @return the tokenizer
     * @throws ModelFileException if the files are not what they should be
     */
    static Tokenizer load(Path model) {
        return load(model, ModelLimits.DEFAULT);
    }

    /**
     * Reads the tokenizer of a model; needs no weights.
     *
     * @param model a directory with tokenizer.json, or vocab.json and merges.txt, or a GGUF file
     * @param limits bounds on what is believed of the files
     * @return the tokenizer
     * @throws ModelFileException if the files are not what they should be
     */
    static Tokenizer load(Path model, ModelLimits limits) {
        return QwenProvider.instance().loadTokenizer(model, limits);
    }

    /**
     * Encodes a text that the program wrote; added tokens are recognised.
     *
     * @param text the text
     * @return its token ids
     */
    default int[] encode(CharSequence text) {
        return encode(text, ControlTokens.RECOGNIZE);
    }

    /**
     * Encodes a text.
     *
     * @param text the text
     * @param controlTokens what becomes of the spelling of added tokens
     * @return its token ids
     */
    int[] encode(CharSequence text, ControlTokens controlTokens);

    /**
     * Encodes a rendered chat. Added tokens are recognised only where the template wrote them, never inside the contents of messages.
     *
     * @param prompt the rendered chat
     * @return its token ids
     */
    int[] encode(RenderedPrompt prompt);

    /**
     * Decodes tokens to text. Invalid UTF-8 becomes U+FFFD.
     *
     * @param ids token ids
     * @param skipSpecial whether special tokens (such as {@code <|im_end|>}) are left out
     * @return the text
     * @throws IllegalArgumentException if an id is below 0 or not below {@link #vocabularySize()}
     */
    String decode(int[] ids, boolean skipSpecial);

    /**
     * Decodes tokens to text, special ones included.
     *
     * @param ids token ids
     * @return the text
     * @throws IllegalArgumentException if an id is below 0 or not below {@link #vocabularySize()}
     */
    default String decode(int[] ids) {
        return decode(ids, false);
    }

    /**
     * Starts decoding token by token.
     *
     * @param skipSpecial whether special tokens are left out
     * @return a new decoder, not thread-safe
     */
    StreamingDecoder streamingDecoder(boolean skipSpecial);

    /**
     * The bytes of a token.
     *
     * @param id token id
     * @return a copy of its bytes; for an added token the UTF-8 of its spelling
     * @throws IllegalArgumentException if an id is below 0 or not below {@link #vocabularySize()}
     */
    byte[] tokenBytes(int id);

    /**
     * Whether a token is special: hidden from decoded text on request.
     *
     * @param id token id
     * @return whether it is special
     */
    boolean isSpecial(int id);

    /**
     * The id of an added token.
     *
     * @param spelling its spelling, such as {@code <|im_end|>}
     * @return its id, or empty if there is no such added token
     */
    OptionalInt addedToken(String spelling);

    /**
     * One more than the largest token id. A model may have more rows; those are never sampled.
     *
     * @return the number of ids
     */
    int vocabularySize();

    /** Decodes a stream of tokens; never splits a character. Not thread-safe. */
    interface StreamingDecoder {
        /**
         * Takes the next token.
         *
         * @param id token id
         * @return the text that is complete now, possibly empty
         * @throws IllegalArgumentException if an id is below 0 or not below {@link #vocabularySize()}
         */
        String next(int id);

        /**
         * Ends the stream.
         *
         * @return U+FFFD for bytes that were still waiting for the rest of their character, or the empty string
         */
        String finish();
    }
}
