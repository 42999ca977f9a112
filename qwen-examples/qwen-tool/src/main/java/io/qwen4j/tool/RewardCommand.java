package io.qwen4j.tool;

import io.qwen4j.Message;
import io.qwen4j.QwenException;
import io.qwen4j.RewardModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/** Conversations to rewards. */
final class RewardCommand implements Command {
    /** Lines that are judged together. */
    private static final int BATCH = 64;
    private static final Pattern BLANK_LINES = Pattern.compile("\\n(?:[ \\t\\r]*\\n)+");

    @Override
    public String name() {
        return "reward";
    }

    @Override
    public String synopsis() {
        return "MODEL [--message TEXT --answer TEXT] [--steps] [--json]";
    }

    @Override
    public String summary() {
        return "Judge answers, or their steps, with a reward model";
    }

    @Override
    public String details() {
        return "Without --message every line of standard input is a conversation, {\"messages\": [{\"role\": …, \"content\": …}, …]}, whose"
                + " last message is the answer. Prints the reward of each, a number a line; the larger, the better. With --steps, which"
                + " process reward models need, the answer is cut into steps at blank lines, or a line has them as \"steps\" beside the"
                + " messages before the answer; prints the probabilities that the steps are right, a JSON array a line.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--message", "TEXT", "the question that was answered"),
                Option.value("--answer", "TEXT", "the answer to judge"),
                Option.value("--system", "TEXT", "the system message (default the template's; with --steps that for mathematics)"),
                Option.flag("--steps", "judge the steps of the answer"),
                Option.flag("--json", "print JSON objects"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        if (arguments.operands().isEmpty()) {
            throw new UsageException("MODEL is missing");
        }
        if (arguments.has("--message") != arguments.has("--answer")) {
            throw new UsageException("--message and --answer need each other");
        }
        if (arguments.has("--system") && !arguments.has("--message")) {
            throw new UsageException("--system needs --message");
        }
        boolean steps = arguments.has("--steps");
        try (RewardModel model = CommonFlags.loadReward(arguments, streams)) {
            if (steps != (model.kind() == RewardModel.Kind.PROCESS)) {
                throw new ToolException(arguments.operands().get(0) + ": the model judges "
                        + (steps ? "conversations, not steps; leave --steps out" : "steps; --steps is missing"));
            }
            Printer printer = new Printer(streams.out(), arguments.has("--json"));
            if (arguments.has("--message")) {
                judge(model, given(arguments, steps), arguments.requiredText("--answer"), steps, printer);
            } else {
                judgeLines(model, steps, streams, printer);
            }
        }
    }

    private static List<Message> given(Arguments arguments, boolean steps) {
        List<Message> messages = new ArrayList<>();
        String system = arguments.text("--system");
        if (system != null || steps) {
            messages.add(Message.system(system == null ? RewardModel.MATH_SYSTEM_MESSAGE : system));
        }
        messages.add(Message.user(arguments.requiredText("--message")));
        return messages;
    }

    private static void judge(RewardModel model, List<Message> before, String answer, boolean steps, Printer printer) throws IOException {
        if (steps) {
            List<String> cut = cut(answer);
            if (cut.isEmpty()) {
                throw new ToolException("--answer: there are no steps to judge");
            }
            printer.steps(model.scoreSteps(before, cut));
        } else {
            List<Message> all = new ArrayList<>(before);
            all.add(Message.assistant(answer));
            printer.reward(model.score(all));
        }
    }

    private static List<String> cut(String answer) {
        return Arrays.stream(BLANK_LINES.split(answer)).map(String::strip).filter(step -> !step.isEmpty()).toList();
    }

    private static void judgeLines(RewardModel model, boolean steps, Streams streams, Printer printer) throws IOException {
        LineReader lines = new LineReader(streams.in());
        List<ConversationLine> waiting = new ArrayList<>();
        for (byte[] line = lines.next(); line != null; line = lines.next()) {
            if (line.length == 0) {
                continue;
            }
            ConversationLine conversation;
            try {
                conversation = ConversationLine.read(line, lines.number());
                if (!steps && conversation.steps() != null) {
                    throw new ToolException("standard input, line " + lines.number() + ": there are steps, but no --steps");
                }
            } catch (ToolException e) {
                // The lines before a wrong one are answered.
                judgeWaiting(model, waiting, printer);
                throw e;
            }
            if (steps) {
                judgeSteps(model, conversation, printer);
                continue;
            }
            waiting.add(conversation);
            if (waiting.size() == BATCH || lines.wouldWait()) {
                judgeWaiting(model, waiting, printer);
            }
        }
        judgeWaiting(model, waiting, printer);
    }

    private static void judgeWaiting(RewardModel model, List<ConversationLine> waiting, Printer printer) throws IOException {
        List<ConversationLine> lines = List.copyOf(waiting);
        waiting.clear();
        if (lines.isEmpty()) {
            return;
        }
        List<Double> rewards;
        try {
            rewards = model.scoreAll(lines.stream().map(ConversationLine::messages).toList());
        } catch (QwenException | IllegalArgumentException e) {
            // One of them; each alone tells which.
            for (ConversationLine line : lines) {
                printer.reward(named(line, () -> model.score(line.messages())));
            }
            return;
        }
        for (double reward : rewards) {
            printer.reward(reward);
        }
    }

    private static <T> T named(ConversationLine line, Supplier<T> judging) {
        try {
            return judging.get();
        } catch (QwenException | IllegalArgumentException e) {
            throw new ToolException("standard input, line " + line.number() + ": " + e.getMessage(), e);
        }
    }

    private static void judgeSteps(RewardModel model, ConversationLine line, Printer printer) throws IOException {
        List<Message> messages = line.messages();
        if (line.steps() != null) {
            printer.steps(named(line, () -> model.scoreSteps(messages, line.steps())));
            return;
        }
        int before = messages.size() - 1;
        if (before < 1 || !(messages.get(before) instanceof Message.Assistant answer)) {
            throw new ToolException(
                    "standard input, line " + line.number() + ": expected a question and an answer of the role assistant, or steps");
        }
        printer.steps(named(line, () -> model.scoreSteps(messages.subList(0, before), cut(answer.content()))));
    }

    /** Writes a line for each conversation. */
    private record Printer(Output out, boolean json) {
        void reward(double reward) throws IOException {
            // The model computes floats; as such they are short.
            float value = (float) reward;
            print(json
                    ? Json.write(object -> {
                        object.writeStartObject();
                        object.writeNumberField("reward", value);
                        object.writeEndObject();
                    })
                    : Float.toString(value));
        }

        void steps(List<Double> probabilities) throws IOException {
            print(Json.write(array -> {
                if (json) {
                    array.writeStartObject();
                    array.writeFieldName("steps");
                }
                array.writeStartArray();
                for (double probability : probabilities) {
                    array.writeNumber((float) probability);
                }
                array.writeEndArray();
                if (json) {
                    array.writeEndObject();
                }
            }));
        }

        private void print(String line) throws IOException {
            out.println(line);
            out.flush();
        }
    }
}
