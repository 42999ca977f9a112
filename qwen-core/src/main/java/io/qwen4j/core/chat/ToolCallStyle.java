package io.qwen4j.core.chat;

import io.qwen4j.TemplateException;
import java.util.List;
import java.util.function.Function;

/**
 * How a template wants the tool calls of earlier turns. Qwen2.5 takes arguments as an object; some relatives (DeepSeek-R1-Distill) join
 * them as text, and render calls only where the content is none. A wrong guess loses the call without an error, so it is tried.
 *
 * @param nullContent whether an empty content is given as none
 * @param textArguments whether arguments are given as JSON text
 */
record ToolCallStyle(boolean nullContent, boolean textArguments) {
    static final ToolCallStyle USUAL = new ToolCallStyle(false, false);

    static final String PROBE_NAME = "probe_name";
    static final String PROBE_ARGUMENTS = "{\"probe_key\": \"probe_value\"}";

    private static final List<ToolCallStyle> ALL =
            List.of(USUAL, new ToolCallStyle(true, false), new ToolCallStyle(false, true), new ToolCallStyle(true, true));

    /** The first style with which a rendered probe shows the call; the usual one if none does. */
    static ToolCallStyle find(Function<ToolCallStyle, String> render) {
        for (ToolCallStyle style : ALL) {
            try {
                String text = render.apply(style);
                if (text.contains(PROBE_NAME) && text.contains("probe_key") && text.contains("probe_value")) {
                    return style;
                }
            } catch (TemplateException e) {
                // This style is not what the template takes.
                continue;
            }
        }
        return USUAL;
    }
}
