package io.qwen4j.core.chat.jinja;

/**
 * Bounds on a template and its rendering; beyond them rendering ends with {@link io.qwen4j.TemplateException}.
 *
 * @param sourceCharacters length of the template
 * @param nesting depth of blocks and expressions in the source
 * @param depth depth of evaluation, macros that call themselves included
 * @param steps evaluated nodes, plus a sixteenth for each character or element of what is made on the way
 * @param characters length of the output, and of any one string made on the way
 */
public record JinjaLimits(int sourceCharacters, int nesting, int depth, long steps, int characters) {
    /**
     * A million tokens are about five million characters; no published template nests deeper than 15 or needs more than a few hundred steps
     * for a message.
     */
    public static final JinjaLimits DEFAULT = new JinjaLimits(1 << 20, 100, 400, 5_000_000, 16 << 20);
}
