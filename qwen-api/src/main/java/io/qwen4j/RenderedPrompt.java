package io.qwen4j;

import java.util.List;

/**
 * A rendered chat, cut into pieces that the template wrote and pieces that came from messages.
 *
 * @param segments the pieces in order
 */
public record RenderedPrompt(List<Segment> segments) {
    /** Copies the list. */
    public RenderedPrompt {
        segments = List.copyOf(segments);
    }

    /**
     * The whole text.
     *
     * @return all pieces joined
     */
    public String text() {
        StringBuilder text = new StringBuilder();
        for (Segment segment : segments) {
            text.append(segment.text());
        }
        return text.toString();
    }

    /**
     * A piece of the text.
     *
     * @param text the characters
     * @param controlTokens {@link ControlTokens#RECOGNIZE} for what the template wrote, {@link ControlTokens#PLAIN} for what came from messages
     */
    public record Segment(String text, ControlTokens controlTokens) {}
}
