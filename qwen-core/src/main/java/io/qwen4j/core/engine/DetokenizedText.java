package io.qwen4j.core.engine;

import io.qwen4j.GenerationEvent;
import io.qwen4j.Tokenizer;
import io.qwen4j.ToolCall;
import io.qwen4j.core.chat.ToolCallParser;
import io.qwen4j.core.sampling.StopMatcher;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Tokens to text, text without stop strings, text without calls of tools. What is not certain at one stage is held back there. */
final class DetokenizedText implements AnswerText {
    private final Tokenizer.StreamingDecoder decoder;
    private final StopMatcher stops;
    private final @Nullable ToolCallParser parser;
    private final StringBuilder text = new StringBuilder();
    private final List<ToolCall> calls = new ArrayList<>();
    private Consumer<GenerationEvent> events = event -> {};

    /** Begins an answer; {@code tools} says whether calls of tools become events. */
    DetokenizedText(Tokenizer tokenizer, List<String> stop, boolean tools) {
        decoder = tokenizer.streamingDecoder(true);
        stops = new StopMatcher(stop);
        parser = tools ? new ToolCallParser(this::emit) : null;
    }

    @Override
    public void token(int id, Consumer<GenerationEvent> target) {
        events = target;
        certain(stops.feed(decoder.next(id)));
        if (stops.matched() != null && parser != null) {
            parser.finish();
        }
    }

    @Override
    public void finish(Consumer<GenerationEvent> target) {
        events = target;
        certain(stops.feed(decoder.finish()));
        certain(stops.finish());
        if (parser != null) {
            parser.finish();
        }
    }

    private void certain(String piece) {
        if (piece.isEmpty()) {
            return;
        }
        if (parser == null) {
            emit(new GenerationEvent.TextDelta(piece));
        } else {
            parser.feed(piece);
        }
    }

    private void emit(GenerationEvent event) {
        if (event instanceof GenerationEvent.TextDelta delta) {
            text.append(delta.text());
        } else if (event instanceof GenerationEvent.ToolCallFinished finished) {
            calls.add(finished.call());
        }
        events.accept(event);
    }

    @Override
    public @Nullable String stop() {
        return stops.matched();
    }

    @Override
    public String text() {
        return text.toString();
    }

    @Override
    public List<ToolCall> toolCalls() {
        return calls;
    }
}
