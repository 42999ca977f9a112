package io.qwen4j.core.model;

import io.qwen4j.ModelShape;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.chat.TemplateLoader;
import io.qwen4j.core.format.gguf.GgufExport;
import io.qwen4j.core.format.gguf.GgufValue;
import io.qwen4j.core.format.gguf.GgufWriter;
import io.qwen4j.core.tokenizer.SyntheticVocabulary;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/**
 * Writes random models in the shapes of real ones.
 *
 * <p>A matrix has a deviation of 1 / sqrt(columns), so that its product with a normed vector is of the size of 1 whatever the shape; norms
 * are near 1, biases near 0. {@link Random} is the source because its algorithm is part of its specification: a seed gives the same file on
 * every JDK.
 */
public final class Synthesizer {
    // Reused for all tensors. Direct, because the channel would copy another through memory of its own.
    private static final int BUFFER_BYTES = 4 << 20;
    private static final double VECTOR_DEVIATION = 0.02;

    private final QwenConfig config;
    private final WeightType type;
    private final Random random;
    private final Map<WeightType, Map<Long, SyntheticBlocks>> pools = new HashMap<>();

    private Synthesizer(QwenConfig config, WeightType type, long seed) {
        this.config = config;
        this.type = type;
        random = new Random(seed);
    }

    /**
     * Writes a model. The file appears when it is complete.
     *
     * @param type type of the matrices; see {@link QuantizationPlan} for the exceptions
     * @param output the GGUF file to write; an existing one is replaced
     * @param listener hears of the stage {@code synthesize}, in bytes of the file
     */
    public static void synthesizeFile(ModelShape shape, WeightType type, long seed, Path output, ProgressListener listener) {
        String name = (shape.experts() == 0 ? "Qwen2.5 " : "Qwen ") + shape.label() + " shape, random weights";
        synthesizeFile(name, config(shape), SyntheticVocabulary.ORDINARY, type, seed, output, listener);
    }

    /**
     * Writes a model of any shape.
     *
     * @param name of the model, for people
     * @param ordinary rows of the vocabulary that are tokens, but no control tokens; see {@link SyntheticVocabulary#addTo}
     */
    public static void synthesizeFile(
            String name, QwenConfig config, int ordinary, WeightType type, long seed, Path output, ProgressListener listener) {
        Quantizer.checkType(type);
        Quantizer.checkIsNoDirectory(output);
        Map<String, GgufValue> metadata = GgufExport.metadata(name, config, type);
        SyntheticVocabulary.addTo(metadata, ordinary, config.vocabularyRows());
        metadata.put("tokenizer.chat_template", GgufValue.of(TemplateLoader.builtIn()));
        new Synthesizer(config, type, seed).write(metadata, output, listener);
    }

    /** The configuration of a model of the family. */
    static QwenConfig config(ModelShape shape) {
        QwenConfig.Experts experts = shape.experts() == 0
                ? null
                : new QwenConfig.Experts(
                        shape.experts(), shape.expertsUsed(), shape.expertFfnSize(), shape.sharedExpertFfnSize(), false, 1, Set.of());
        return new QwenConfig(
                experts == null ? "qwen2" : "qwen2_moe",
                shape.layers(),
                shape.hiddenSize(),
                shape.heads(),
                shape.kvHeads(),
                shape.hiddenSize() / shape.heads(),
                shape.ffnSize(),
                shape.vocabularyRows(),
                shape.tiedHead(),
                1e-6f,
                shape.contextLength(),
                new QwenConfig.Rope(1e6, null),
                experts,
                QwenConfig.Head.LANGUAGE);
    }

    private void write(Map<String, GgufValue> metadata, Path output, ProgressListener listener) {
        List<QwenTensors.Expected> tensors = QwenTensors.of(config);
        List<GgufWriter.Tensor> table = new ArrayList<>();
        for (QwenTensors.Expected tensor : tensors) {
            table.add(Quantizer.entry(tensor, QuantizationPlan.typeOf(config, tensor, type)));
        }
        ProgressMeter progress =
                new ProgressMeter(listener, "synthesize", table.stream().mapToLong(GgufWriter.Tensor::bytes).sum());
        try (GgufWriter writer = GgufWriter.create(output, metadata, table)) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < tensors.size(); i++) {
                if (tensors.get(i).matrix()) {
                    matrix(tensors.get(i), table.get(i), buffer, writer, progress);
                } else {
                    vector(tensors.get(i), buffer, writer, progress);
                }
            }
            writer.finish();
        }
        progress.end();
    }

    private void matrix(
            QwenTensors.Expected tensor, GgufWriter.Tensor entry, ByteBuffer buffer, GgufWriter writer, ProgressMeter progress) {
        SyntheticBlocks blocks = pools.computeIfAbsent(entry.type(), t -> new HashMap<>())
                .computeIfAbsent(tensor.columns(), n -> new SyntheticBlocks(entry.type(), 1 / Math.sqrt(n), random));
        long step = BUFFER_BYTES / entry.type().blockBytes() * (long) entry.type().blockBytes();
        long total = entry.bytes();
        for (long offset = 0; offset < total; offset += step) {
            int count = (int) Math.min(step, total - offset);
            blocks.fill(buffer.clear().limit(count), random);
            writer.write(buffer.flip());
            progress.add(count);
        }
    }

    private void vector(QwenTensors.Expected tensor, ByteBuffer buffer, GgufWriter writer, ProgressMeter progress) {
        double mean = tensor.name().endsWith(".bias") ? 0 : 1;
        buffer.clear();
        for (long i = 0; i < tensor.columns(); i++) {
            buffer.putFloat((float) (mean + VECTOR_DEVIATION * random.nextGaussian()));
        }
        int count = buffer.flip().limit();
        writer.write(buffer);
        progress.add(count);
    }
}
