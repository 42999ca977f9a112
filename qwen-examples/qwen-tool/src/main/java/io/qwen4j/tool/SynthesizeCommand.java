package io.qwen4j.tool;

import io.qwen4j.ModelFiles;
import io.qwen4j.ModelShape;
import io.qwen4j.WeightType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A model of random weights as a GGUF file, for measurements. */
final class SynthesizeCommand implements Command {
    private static final String SHAPES = Stream.of(ModelShape.values()).map(ModelShape::label).collect(Collectors.joining(", "));

    @Override
    public String name() {
        return "synthesize";
    }

    @Override
    public String synopsis() {
        return "--shape SIZE --type TYPE --output FILE.gguf";
    }

    @Override
    public String summary() {
        return "Write random weights in the exact shape of a Qwen2.5 model, for measurements";
    }

    @Override
    public String details() {
        return "Sizes: " + SHAPES + ". Types: " + CommonFlags.weightTypes()
                + ". Tensors get the types that qwen quantize gives them. The model answers nonsense.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--shape", "SIZE", "the model whose shape it is"),
                Option.value("--type", "TYPE", "the type of the weight matrices"),
                Option.value("--output", "FILE", "the file to write; an existing one is replaced"),
                Option.value("--seed", "N", "of the random weights (default 0); equal seeds give equal files"));
    }

    @Override
    public int operands() {
        return 0;
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        ModelShape shape = shape(arguments.requiredText("--shape"));
        arguments.requiredText("--type");
        WeightType type = CommonFlags.weightType(arguments, "--type");
        if (type == null) {
            throw new UsageException("--type is missing");
        }
        Path output = Path.of(arguments.requiredText("--output"));
        Long seed = arguments.longInteger("--seed");
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            ModelFiles.synthesize(shape, type, seed == null ? 0 : seed, output, bar);
        }
        if (streams.err().isTerminal()) {
            streams.err().println(String.format(Locale.ROOT, "%s: %,d bytes", output, Files.size(output)));
            streams.err().flush();
        }
    }

    private static ModelShape shape(String label) {
        return Stream.of(ModelShape.values())
                .filter(shape -> shape.label().equalsIgnoreCase(label))
                .findFirst()
                .orElseThrow(() -> Arguments.wrong("--shape", "one of " + SHAPES, label));
    }
}
