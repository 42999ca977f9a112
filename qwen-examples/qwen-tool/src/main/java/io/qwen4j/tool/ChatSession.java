package io.qwen4j.tool;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.Message;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The turns of a conversation so far, and how the next one is answered. */
final class ChatSession {
    static final String COMMANDS = "/help, /reset, /system TEXT and /quit";

    private final QwenModel model;
    private final GenerationOptions options;
    private final Streams streams;
    private final List<Message> turns = new ArrayList<>();
    private @Nullable String system;
    private volatile @Nullable Generation running;

    ChatSession(QwenModel model, GenerationOptions options, @Nullable String system, Streams streams) {
        this.model = model;
        this.options = options;
        this.system = system;
        this.streams = streams;
    }

    /** Answers each line of standard input until it ends. */
    void answerLines() throws IOException {
        LineReader lines = new LineReader(streams.in());
        for (String line = lines.nextText(); line != null; line = lines.nextText()) {
            if (!take(line)) {
                return;
            }
        }
    }

    /**
     * Takes a line: a command or a message.
     *
     * @return whether the conversation goes on
     */
    boolean take(String line) throws IOException {
        String text = line.strip();
        if (text.equals("/quit") || text.equals("/exit")) {
            return false;
        } else if (text.equals("/help")) {
            note("Commands: " + COMMANDS + ". Anything else is a message.");
        } else if (text.equals("/reset")) {
            turns.clear();
            note("The conversation begins anew.");
        } else if (text.equals("/system") || text.startsWith("/system ")) {
            String value = text.substring("/system".length()).strip();
            system = value.isEmpty() ? null : value;
            note(value.isEmpty() ? "The system message is the template's own." : "The system message is set.");
        } else if (!text.isEmpty()) {
            answer(line);
        }
        return true;
    }

    /** Stops the answer that is being given. Called from the thread of a signal. */
    boolean cancel() {
        Generation generation = running;
        return generation != null && generation.cancel();
    }

    /** Prints the answer to a message and remembers both. */
    void answer(String message) throws IOException {
        turns.add(Message.user(message));
        StringBuilder answer = new StringBuilder();
        GenerationEvent.Finished finished = null;
        try (Generation generation = submit()) {
            running = generation;
            for (Iterator<GenerationEvent> events = generation.events(); events.hasNext(); ) {
                GenerationEvent event = events.next();
                if (event instanceof GenerationEvent.TextDelta delta) {
                    answer.append(delta.text());
                    streams.out().print(delta.text());
                    streams.out().flush();
                } else if (event instanceof GenerationEvent.Finished end) {
                    finished = end;
                }
            }
        } catch (RuntimeException | IOException e) {
            // A message without an answer would be sent again with the next one.
            turns.remove(turns.size() - 1);
            throw e;
        } finally {
            running = null;
        }
        streams.out().println("");
        streams.out().flush();
        turns.add(Message.assistant(answer.toString()));
        if (finished != null && streams.out().isTerminal()) {
            note(figures(finished));
        }
    }

    /** Leaves out the oldest turns when the conversation outgrows the context. */
    private Generation submit() throws IOException {
        boolean shortened = false;
        while (true) {
            List<Message> messages = new ArrayList<>();
            if (system != null) {
                messages.add(Message.system(system));
            }
            messages.addAll(turns);
            try {
                Generation generation = model.submit(new GenerationRequest.Chat(messages, List.of(), options));
                if (shortened) {
                    note("The context of " + model.info().contextLength() + " tokens is full: the oldest turns are forgotten.");
                }
                return generation;
            } catch (ContextOverflowException e) {
                if (turns.size() < 3) {
                    throw e;
                }
                turns.subList(0, 2).clear();
                shortened = true;
            }
        }
    }

    private static String figures(GenerationEvent.Finished end) {
        int tokens = end.usage().completionTokens();
        double seconds = end.timings().decode().toNanos() / 1e9;
        // The first token comes out of the prefill, the others are what was decoded.
        String speed = tokens > 1 && seconds > 0 ? String.format(Locale.ROOT, ", %.1f tokens/s", (tokens - 1) / seconds) : "";
        return String.format(
                Locale.ROOT,
                "%d tokens%s; prompt of %d in %.2f s; %s",
                tokens,
                speed,
                end.usage().promptTokens(),
                end.timings().prefill().toNanos() / 1e9,
                end.reason().name().toLowerCase(Locale.ROOT));
    }

    /** Says something beside the conversation. */
    void note(String text) throws IOException {
        if (streams.err().isTerminal()) {
            streams.err().println("\u001b[2m[" + text + "]\u001b[0m");
            streams.err().flush();
        }
    }
}
