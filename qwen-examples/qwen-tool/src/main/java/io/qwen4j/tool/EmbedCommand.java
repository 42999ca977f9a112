package io.qwen4j.tool;

import io.qwen4j.Pooling;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.util.List;

/** Texts to vectors. */
final class EmbedCommand implements Command {
    @Override
    public String name() {
        return "embed";
    }

    @Override
    public String synopsis() {
        return "MODEL [TEXT…] [--pooling mean|last]";
    }

    @Override
    public String summary() {
        return "Turn texts into vectors of length 1, a JSON array a line";
    }

    @Override
    public String details() {
        return "The texts are arguments, or the lines of standard input where there is none.";
    }

    @Override
    public List<Option> options() {
        return List.of(Option.value("--pooling", "mean|last", "how hidden states become one vector (default mean)"));
    }

    @Override
    public int operands() {
        return Integer.MAX_VALUE;
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        Pooling chosen = arguments.choice("--pooling", Pooling.values());
        Pooling pooling = chosen == null ? Pooling.MEAN : chosen;
        List<String> operands = arguments.operands();
        try (QwenModel model = CommonFlags.load(arguments, streams)) {
            if (operands.size() > 1) {
                for (String text : operands.subList(1, operands.size())) {
                    print(model.embed(List.of(text), pooling).get(0), streams.out());
                }
                return;
            }
            LineReader lines = new LineReader(streams.in());
            for (String text = lines.nextText(); text != null; text = lines.nextText()) {
                if (text.isEmpty()) {
                    throw new ToolException("standard input, line " + lines.number() + ": an empty text has no vector");
                }
                print(model.embed(List.of(text), pooling).get(0), streams.out());
            }
        }
    }

    private static void print(float[] vector, Output out) throws IOException {
        StringBuilder text = new StringBuilder(12 * vector.length).append('[');
        for (int i = 0; i < vector.length; i++) {
            text.append(i == 0 ? "" : ",").append(vector[i]);
        }
        out.println(text.append(']').toString());
        out.flush();
    }
}
