package io.qwen4j.tool;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.LoadOptions;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** The logits after every token of a sequence, to a file. */
final class LogitsCommand implements Command {
    @Override
    public String name() {
        return "logits";
    }

    @Override
    public String synopsis() {
        return "MODEL --ids 1,2,3 --output FILE.safetensors";
    }

    @Override
    public String summary() {
        return "Write the logits after every token of a sequence";
    }

    @Override
    public String details() {
        return "The file holds one F32 tensor, logits [T, V]: T tokens, V vocabulary rows. No tokenizer files are needed."
                + " They are computed to compare with others: keys and values are stored in"
                + " f32 and activations meet quantized weights in 16 bits, unless --kv-cache and --activations say otherwise.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--ids", "1,2,3", "the token ids"),
                Option.value("--output", "FILE", "the file to write; an existing one is replaced"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        int[] ids = TokenIds.array(TokenIds.parseList("--ids", arguments.requiredText("--ids")));
        Path output = Path.of(arguments.requiredText("--output"));
        LoadOptions.Builder load = CommonFlags.exactCache(arguments);
        if (arguments.choice("--activations", ActivationPrecision.values()) == null) {
            load.activations(ActivationPrecision.INT16);
        }
        if (arguments.integer("--context", 1, 0) == 0) {
            load.contextLength(ids.length);
        }
        try (QwenModel model = CommonFlags.load(arguments, streams, load);
                LogitsFile file = new LogitsFile(output, ids.length, model.info().vocabularyRows());
                ProgressBar bar = new ProgressBar(streams.err())) {
            model.logits(ids, (position, row) -> {
                file.write(position, row);
                bar.progress("logits", position + 1, ids.length);
            });
            file.complete();
        }
    }
}
