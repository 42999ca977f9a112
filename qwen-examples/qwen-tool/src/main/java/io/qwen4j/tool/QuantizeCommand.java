package io.qwen4j.tool;

import io.qwen4j.ModelFiles;
import io.qwen4j.WeightType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** A model as a GGUF file of another type. */
final class QuantizeCommand implements Command {
    @Override
    public String name() {
        return "quantize";
    }

    @Override
    public String synopsis() {
        return "MODEL --type TYPE --output FILE.gguf";
    }

    @Override
    public String summary() {
        return "Write the model as a GGUF file with weights of the given type";
    }

    @Override
    public String details() {
        return "Types: " + CommonFlags.weightTypes()
                + ". Norms and biases are F32; a row that is no whole number of blocks gets the fallback type of the GGUF convention.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--type", "TYPE", "the type of the weight matrices"),
                Option.value("--output", "FILE", "the file to write; an existing one is replaced"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        if (arguments.operands().isEmpty()) {
            throw new UsageException("MODEL is missing");
        }
        arguments.requiredText("--type");
        Path output = Path.of(arguments.requiredText("--output"));
        WeightType type = CommonFlags.weightType(arguments, "--type");
        if (type == null) {
            throw new UsageException("--type is missing");
        }
        Path model = CommonFlags.model(arguments);
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            ModelFiles.quantize(model, type, output, bar);
        }
        if (streams.err().isTerminal()) {
            streams.err().println(String.format(Locale.ROOT, "%s: %,d bytes", output, Files.size(output)));
            streams.err().flush();
        }
    }
}
