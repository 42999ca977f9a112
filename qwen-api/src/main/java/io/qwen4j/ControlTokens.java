package io.qwen4j;

/** What becomes of the spelling of an added token (such as {@code <|im_end|>} or {@code <tool_call>}) inside a text. */
public enum ControlTokens {
    /** It becomes that token. For texts written by the program. */
    RECOGNIZE,
    /** It is ordinary text. For texts from users. */
    PLAIN
}
