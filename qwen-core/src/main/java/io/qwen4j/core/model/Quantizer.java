package io.qwen4j.core.model;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.format.gguf.GgufExport;
import io.qwen4j.core.format.gguf.GgufNames;
import io.qwen4j.core.format.gguf.GgufWriter;
import io.qwen4j.core.ops.TensorSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Converts a model's matrices and writes them, with everything else that a model needs, as one GGUF file. Vectors become F32. */
public final class Quantizer {
    // What is converted and in memory at a time: some hundred pieces of work for the processors.
    private static final int BUFFER_BYTES = 16 << 20;

    private Quantizer() {}

    /**
     * Quantizes a model to a file. The file appears when it is complete.
     *
     * @param model a directory or a GGUF file
     * @param type type of the matrices; see {@link QuantizationPlan} for the exceptions
     * @param output the GGUF file to write; an existing one is replaced, but not the model's own
     * @param limits bounds on what is believed of the model's files
     * @param listener hears of the stage {@code quantize}, in bytes of the new file
     */
    public static void quantizeFile(Path model, WeightType type, Path output, ModelLimits limits, ProgressListener listener) {
        checkOutput(model, output);
        try (Checkpoint checkpoint = CheckpointReader.open(model, limits)) {
            refuseReward(checkpoint);
            List<TensorSource> sources = new ArrayList<>();
            List<GgufWriter.Tensor> table = new ArrayList<>();
            ConversionBuffers buffers = new ConversionBuffers();
            for (QwenTensors.Expected expected : QwenTensors.of(checkpoint.config())) {
                WeightType target = QuantizationPlan.typeOf(checkpoint.config(), expected, type);
                for (TensorSource source : WeightLoader.find(checkpoint, expected)) {
                    sources.add(QuantizedSource.of(source, target, buffers));
                }
                table.add(entry(expected, target));
            }
            ProgressMeter progress =
                    new ProgressMeter(listener, "quantize", table.stream().mapToLong(GgufWriter.Tensor::bytes).sum());
            try (GgufWriter writer = GgufWriter.create(output, GgufExport.metadata(checkpoint, type, limits), table)) {
                ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES);
                for (TensorSource source : sources) {
                    copy(source, buffer, writer, progress);
                }
                writer.finish();
            }
            progress.end();
        }
    }

    /** GGUF has a head of two layers (cls, cls.output), but llama.cpp computes tanh between them, where this one has ReLU. */
    private static void refuseReward(Checkpoint checkpoint) {
        QwenConfig.Head head = checkpoint.config().head();
        if (head != QwenConfig.Head.LANGUAGE) {
            throw new ModelFileException(Reason.UNSUPPORTED, checkpoint.path(), "the head of the model is " + head + ", and GGUF has a form"
                    + " for " + QwenConfig.Head.LANGUAGE + " only; reward models can be converted while they are loaded");
        }
    }

    /** A tensor's entry in the table of the file. */
    static GgufWriter.Tensor entry(QwenTensors.Expected tensor, WeightType type) {
        long[] shape = tensor.kind() == QwenTensors.Kind.ROW ? new long[] {tensor.columns()} : tensor.shape();
        return new GgufWriter.Tensor(GgufNames.toGguf(tensor.name()), type, Arrays.stream(shape).boxed().toList());
    }

    /** Refuses to write where a directory is. */
    static void checkIsNoDirectory(Path output) {
        if (Files.isDirectory(output)) {
            throw new IllegalArgumentException("the output " + output + " is a directory, expected the name of a file");
        }
    }

    private static void checkOutput(Path model, Path output) {
        checkIsNoDirectory(output);
        try {
            if (Files.exists(output) && Files.exists(model) && Files.isSameFile(model, output)) {
                throw new IllegalArgumentException("the output " + output + " is the model itself");
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void copy(TensorSource source, ByteBuffer buffer, GgufWriter writer, ProgressMeter progress) {
        // Whole rows, so that no row is converted twice; a row is shorter than the buffer, or it is read in parts.
        long rowBytes = source.type().rowBytes(source.columns());
        long step = rowBytes > BUFFER_BYTES ? BUFFER_BYTES : BUFFER_BYTES / rowBytes * rowBytes;
        for (long offset = 0; offset < source.byteSize(); offset += step) {
            int count = (int) Math.min(step, source.byteSize() - offset);
            source.read(offset, buffer.clear().limit(count));
            writer.write(buffer.flip());
            progress.add(count);
        }
    }
}
