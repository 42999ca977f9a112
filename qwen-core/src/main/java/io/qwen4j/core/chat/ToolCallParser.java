package io.qwen4j.core.chat;

import io.qwen4j.GenerationEvent;
import io.qwen4j.ToolCall;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Turns the text of an answer, as it comes, into events: text, and calls of tools between {@code <tool_call>} and {@code </tool_call>}.
 * Not thread-safe.
 *
 * <p>Text that may still begin a call is held back, as is white space before it; white space around calls is markup. Arguments are passed
 * on while they come. What turns out to be no call (no JSON, no name, no closing tag) is text, all of it with its tag: if {@link
 * GenerationEvent.ToolCallStarted} was already given, its text follows and no {@link GenerationEvent.ToolCallFinished} does; its index is
 * not used again. How the text was cut into pieces changes nothing but where deltas are cut.
 */
public final class ToolCallParser {
    private static final String OPEN = "<tool_call>";
    private static final String CLOSE = "</tool_call>";

    private enum State {
        TEXT,
        JSON,
        CLOSING
    }

    private final Consumer<GenerationEvent> events;
    /** Text that is certain and not yet passed on. */
    private final StringBuilder text = new StringBuilder();
    /** White space that may belong to a call that follows. */
    private final StringBuilder space = new StringBuilder();
    /** The call being read, without its opening tag. */
    private final StringBuilder raw = new StringBuilder();

    private State state = State.TEXT;
    private int tagMatched;
    private boolean afterCall;
    private @Nullable ToolCallScanner scanner;
    private boolean started;
    private int argumentsSent;
    private int index;
    private int finishedCalls;

    /**
     * Makes a parser for one answer to a request with tools.
     *
     * @param events gets the events, only {@link GenerationEvent.TextDelta} and those of tool calls
     */
    public ToolCallParser(Consumer<GenerationEvent> events) {
        this.events = events;
    }

    /** Number of calls that are complete. */
    public int finishedCalls() {
        return finishedCalls;
    }

    /** Takes more of the answer. */
    public void feed(String piece) {
        for (int i = 0; i < piece.length(); i++) {
            accept(piece.charAt(i));
        }
        sendArguments();
        sendText();
    }

    /** Ends the answer. */
    public void finish() {
        if (state != State.TEXT) {
            noCall();
        }
        ordinary(OPEN.substring(0, tagMatched));
        tagMatched = 0;
        sendText();
    }

    private void accept(char c) {
        switch (state) {
            case TEXT -> inText(c);
            case JSON -> inJson(c);
            case CLOSING -> closing(c);
        }
    }

    private void inText(char c) {
        if (c == OPEN.charAt(tagMatched)) {
            tagMatched++;
            if (tagMatched == OPEN.length()) {
                tagMatched = 0;
                raw.setLength(0);
                scanner = new ToolCallScanner();
                started = false;
                argumentsSent = 0;
                state = State.JSON;
            }
            return;
        }
        if (tagMatched > 0) {
            // The tag's first character occurs in it only once, so that nothing of what was held back begins another tag.
            ordinary(OPEN.substring(0, tagMatched));
            tagMatched = 0;
            inText(c);
        } else if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
            space.append(c);
        } else {
            ordinary(String.valueOf(c));
        }
    }

    private void ordinary(String characters) {
        text.append(afterCall ? "" : space).append(characters);
        space.setLength(0);
        afterCall = false;
    }

    private void inJson(char c) {
        ToolCallScanner.State result = scanner.accept(c);
        if (result == ToolCallScanner.State.INVALID) {
            noCall();
            inText(c);
            return;
        }
        raw.append(c);
        if (!started && scanner.name() != null) {
            started = true;
            sendText();
            events.accept(new GenerationEvent.ToolCallStarted(index, id(), scanner.name()));
        }
        if (result == ToolCallScanner.State.COMPLETE) {
            state = State.CLOSING;
        }
    }

    private void closing(char c) {
        boolean space = tagMatched == 0 && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
        if (!space && c != CLOSE.charAt(tagMatched)) {
            noCall();
            inText(c);
            return;
        }
        raw.append(c);
        if (!space && ++tagMatched == CLOSE.length()) {
            finishCall();
        }
    }

    private void finishCall() {
        sendArguments();
        events.accept(new GenerationEvent.ToolCallFinished(index, new ToolCall(id(), scanner.name(), scanner.arguments().toString())));
        index++;
        finishedCalls++;
        space.setLength(0);
        reset();
        afterCall = true;
    }

    /** What was read of a call becomes text. */
    private void noCall() {
        if (started) {
            sendArguments();
            index++;
        }
        ordinary(OPEN);
        String characters = raw.toString();
        reset();
        // White space at its end may belong to a call that follows.
        int end = characters.length();
        while (end > 0 && " \n\r\t".indexOf(characters.charAt(end - 1)) >= 0) {
            end--;
        }
        text.append(characters, 0, end);
        space.append(characters, end, characters.length());
    }

    private void reset() {
        raw.setLength(0);
        scanner = null;
        tagMatched = 0;
        state = State.TEXT;
    }

    private String id() {
        return "call_" + index;
    }

    private void sendArguments() {
        if (scanner != null && started && scanner.arguments().length() > argumentsSent) {
            String delta = scanner.arguments().substring(argumentsSent);
            argumentsSent = scanner.arguments().length();
            events.accept(new GenerationEvent.ToolCallDelta(index, delta));
        }
    }

    private void sendText() {
        if (text.length() > 0) {
            String delta = text.toString();
            text.setLength(0);
            events.accept(new GenerationEvent.TextDelta(delta));
        }
    }
}
