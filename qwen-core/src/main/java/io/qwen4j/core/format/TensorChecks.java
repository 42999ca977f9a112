package io.qwen4j.core.format;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.model.QwenTensors.Expected;
import io.qwen4j.core.model.QwenTensors.Kind;
import io.qwen4j.core.ops.TensorSource;
import java.util.Arrays;
import java.util.function.UnaryOperator;

/** Compares the tensors of a checkpoint with the table of the decoder: presence, shape, type. */
public final class TensorChecks {
    private final Checkpoint checkpoint;
    private final Iterable<Expected> table;
    private final String types;
    private final UnaryOperator<String> names;

    private TensorChecks(Checkpoint checkpoint, Iterable<Expected> table, String types, UnaryOperator<String> names) {
        this.checkpoint = checkpoint;
        this.table = table;
        this.types = types;
        this.names = names;
    }

    /**
     * Checks all tensors.
     *
     * @param table the tensors that must be there
     * @param types the storage types that run, for messages
     * @param names gives the name in the file, for messages
     */
    public static void check(Checkpoint checkpoint, Iterable<Expected> table, String types, UnaryOperator<String> names) {
        new TensorChecks(checkpoint, table, types, names).check();
    }

    private void check() {
        QwenConfig config = checkpoint.config();
        for (Expected e : table) {
            if (!checkpoint.tensorNames().contains(e.name())) {
                throw error(Reason.MISSING, "the tensor " + names.apply(e.name()) + " is missing" + hint(e));
            }
            checkShape(e, Reason.SHAPE);
            TensorSource source = checkpoint
                    .tensor(e.name())
                    .orElseThrow(() -> error(
                            Reason.UNSUPPORTED,
                            "the tensor " + names.apply(e.name()) + " has a type that is not run; those that are: " + types));
            if (!e.matrix() && source.type().isQuantized()) {
                throw error(
                        Reason.UNSUPPORTED,
                        "the vector " + names.apply(e.name()) + " is " + source.type() + ", expected F32, F16 or BF16");
            }
        }
        if (config.tiedHead() && checkpoint.tensorNames().contains(QwenTensors.HEAD)) {
            // A head beside a tied embedding is not used, but one that is broken means a broken file and not a tied one.
            checkShape(
                    new Expected(QwenTensors.HEAD, Kind.MATRIX, 1, config.vocabularyRows(), config.hiddenSize()),
                    Reason.CORRUPT);
            if (checkpoint.tensor(QwenTensors.HEAD).isEmpty()) {
                throw error(Reason.CORRUPT, names.apply(QwenTensors.HEAD) + " has a type that no weight has; those that run: " + types);
            }
        }
    }

    private void checkShape(Expected e, Reason reason) {
        long[] found = checkpoint.shape(e.name());
        if (Arrays.equals(found, e.shape()) || e.kind() == Kind.ROW && Arrays.equals(found, new long[] {e.columns()})) {
            return;
        }
        if (e.name().equals(QwenTensors.EMBEDDING) && found.length == 2 && found[1] == e.columns()) {
            throw error(
                    Reason.CONFIG,
                    "vocab_size is " + e.rows() + ", but " + names.apply(e.name()) + " has " + found[0] + " rows");
        }
        throw error(
                reason,
                "the tensor " + names.apply(e.name()) + " has shape " + Arrays.toString(found) + ", the configuration requires "
                        + Arrays.toString(e.shape()));
    }

    private static String hint(Expected e) {
        return e.name().equals(QwenTensors.HEAD) ? " and the configuration does not tie the head to the embedding" : "";
    }

    private ModelFileException error(Reason reason, String message) {
        return FormatError.of(reason, checkpoint.path(), message);
    }
}
