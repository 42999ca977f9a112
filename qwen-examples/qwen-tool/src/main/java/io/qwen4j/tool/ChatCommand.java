package io.qwen4j.tool;

import io.qwen4j.GenerationOptions;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** A conversation. */
final class ChatCommand implements Command {
    @Override
    public String name() {
        return "chat";
    }

    @Override
    public String synopsis() {
        return "[MODEL] [--message TEXT] [--system TEXT] [OPTIONS]";
    }

    @Override
    public String summary() {
        return "Talk to the model";
    }

    @Override
    public String details() {
        return "On a terminal lines can be edited and recalled; "
                + ChatSession.COMMANDS
                + " are commands, Ctrl-C stops an answer or, at the prompt, ends the chat, as Ctrl-D does. Without a terminal "
                + "every line of standard input is a message, and its answer a paragraph of standard output. --message prints one"
                + " answer and exits. Sampling is the model's own where no option changes it.";
    }

    @Override
    public List<Option> options() {
        List<Option> options = new ArrayList<>(List.of(
                Option.value("--message", "TEXT", "print the answer to this message and exit"),
                Option.value("--system", "TEXT", "the system message (default the template's)")));
        options.addAll(SamplingFlags.OPTIONS);
        return options;
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        SamplingFlags.check(arguments);
        String message = arguments.text("--message");
        try (QwenModel model = CommonFlags.load(arguments, streams)) {
            GenerationOptions options = SamplingFlags.options(arguments, model.defaultSampling(), 0);
            ChatSession session = new ChatSession(model, options, arguments.text("--system"), streams);
            if (message != null) {
                session.answer(message);
            } else if (streams.inTerminal() && streams.out().isTerminal()) {
                ChatTerminal.run(session, model, streams);
            } else {
                session.answerLines();
            }
        }
    }
}
