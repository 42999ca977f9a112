package io.qwen4j.core.testing;

import io.qwen4j.WeightType;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.quant.HalfFloats;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Writes small checkpoints as AutoGPTQ and AutoAWQ do, and the same weights expanded to F32. Codes, zero points and scales are those of the
 * published formulas, element by element: {@code w[r, c] = scale[g(c), r] (q - z[g(c), r])}.
 */
public final class PackedCheckpoints {
    /** Column of eight in each nibble of a word of AWQ. */
    private static final int[] AWQ_ORDER = {0, 2, 4, 6, 1, 3, 5, 7};

    private final QwenConfig config;
    private final Form form;
    private final Random random;
    private final SafetensorsBuilder packed = new SafetensorsBuilder();
    private final SafetensorsBuilder expanded = new SafetensorsBuilder();

    /**
     * How a checkpoint is quantized.
     *
     * @param awq whether by AWQ, else by GPTQ
     * @param bits of a code
     * @param groupSize columns of a group, or -1
     * @param version of GPTQ's layout, 1 or 2
     * @param actOrder whether columns have groups in random order
     * @param symmetric whether all zero points are in the middle
     * @param head whether the head is quantized, too
     */
    public record Form(boolean awq, int bits, int groupSize, int version, boolean actOrder, boolean symmetric, boolean head) {
        /** What config.json says of it. */
        public String json() {
            return awq
                    ? "{\"quant_method\": \"awq\", \"bits\": %d, \"group_size\": %d, \"version\": \"gemm\", \"zero_point\": true,"
                            .formatted(bits, groupSize) + " \"modules_to_not_convert\": null}"
                    : "{\"quant_method\": \"gptq\", \"bits\": %d, \"group_size\": %d, \"desc_act\": %b, \"sym\": %b, "
                            .formatted(bits, groupSize, actOrder, symmetric) + "\"damp_percent\": 0.01, \"lm_head\": %b, \"true_sequential\": true".formatted(head)
                            + (version == 2 ? ", \"checkpoint_format\": \"gptq_v2\"}" : "}");
        }
    }

    private PackedCheckpoints(QwenConfig config, Form form, long seed) {
        this.config = config;
        this.form = form;
        random = new Random(seed);
    }

    /** The four forms that Qwen2.5 is published in, and those that others write. */
    public static List<Form> forms() {
        return List.of(
                new Form(false, 4, 128, 1, false, true, false),
                new Form(false, 8, 128, 1, false, true, false),
                new Form(true, 4, 128, 0, false, false, false),
                new Form(false, 4, 128, 1, false, false, false),
                new Form(false, 4, 128, 2, false, false, false),
                new Form(false, 8, 128, 2, false, false, false),
                new Form(false, 8, 128, 1, false, false, false),
                new Form(false, 4, 32, 1, true, false, false),
                new Form(false, 8, 32, 1, true, false, false),
                new Form(false, 4, 128, 2, true, false, false),
                new Form(false, 4, 32, 1, true, false, true),
                new Form(false, 8, 128, 1, false, true, true),
                new Form(false, 4, 64, 1, false, false, false),
                new Form(false, 8, 64, 1, true, true, false),
                new Form(false, 4, -1, 1, false, false, false),
                new Form(true, 4, 32, 0, false, false, false),
                new Form(true, 4, 64, 0, false, false, false),
                new Form(true, 4, -1, 0, false, false, false));
    }

    /** Writes a directory with {@code quantization_config}, without a tokenizer. */
    public static Path write(Path directory, QwenConfig config, Form form, long seed) {
        PackedCheckpoints made = make(config, form, seed);
        write(directory, TinyCheckpoints.json(config).replaceFirst("\\{", "{\"quantization_config\": " + form.json() + ", "), made.packed);
        return directory;
    }

    /** Writes a directory with the values of the same checkpoint in F32. */
    public static Path writeExpanded(Path directory, QwenConfig config, Form form, long seed) {
        write(directory, TinyCheckpoints.json(config), make(config, form, seed).expanded);
        return directory;
    }

    /** The file of the quantized checkpoint, to change and write. */
    public static SafetensorsBuilder packed(QwenConfig config, Form form, long seed) {
        return make(config, form, seed).packed;
    }

    private static void write(Path directory, String config, SafetensorsBuilder tensors) {
        try {
            Files.createDirectories(directory);
            Files.writeString(directory.resolve("config.json"), config);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        tensors.write(directory.resolve("model.safetensors"));
    }

    private static PackedCheckpoints make(QwenConfig config, Form form, long seed) {
        var made = new PackedCheckpoints(config, form, seed);
        for (QwenTensors.Expected e : QwenTensors.separate(config).toList()) {
            boolean left = !e.matrix() || e.kind() == QwenTensors.Kind.ROW || e.name().equals(QwenTensors.EMBEDDING)
                    || e.name().equals(QwenTensors.HEAD) && !form.head || e.name().endsWith("." + QwenTensors.ROUTER);
            if (left) {
                made.half(e);
            } else {
                made.matrix(e.name().substring(0, e.name().length() - ".weight".length()), (int) e.rows(), (int) e.columns());
            }
        }
        return made;
    }

    private void half(QwenTensors.Expected e) {
        int count = (int) (e.rows() * e.columns());
        ByteBuffer halves = bytes(2 * count);
        ByteBuffer floats = bytes(4 * count);
        for (int i = 0; i < count; i++) {
            double x = random.nextGaussian();
            int half = HalfFloats.floatToF16(
                    (float) (e.matrix() ? x * 1.2 / Math.sqrt(e.columns()) : e.name().contains("norm") ? 1 + 0.2 * x : x));
            halves.putShort((short) half);
            floats.putFloat(HalfFloats.f16ToFloat(half));
        }
        packed.add(e.name(), "F16", e.shape(), halves.array());
        expanded.add(e.name(), "F32", e.shape(), floats.array());
    }

    private void matrix(String module, int rows, int columns) {
        int size = form.groupSize == -1 ? columns : form.groupSize;
        int groups = (columns + size - 1) / size;
        int[] groupOf = groupOf(columns, size);
        float[][] scales = new float[groups][rows];
        int[][] zeros = new int[groups][rows];
        int[][] codes = new int[rows][columns];
        int top = (1 << form.bits) - 1;
        ByteBuffer values = bytes(4 * rows * columns);
        for (int r = 0; r < rows; r++) {
            for (int g = 0; g < groups; g++) {
                // Zero points of every size, the stored 0 - 1 of the first layout among them.
                zeros[g][r] = form.symmetric ? (top + 1) / 2 : random.nextInt(top + 1);
                double deviation = 1.2 / Math.sqrt(columns);
                scales[g][r] = HalfFloats.f16ToFloat(HalfFloats.floatToF16((float) (deviation * (2 + random.nextDouble()) / top)));
            }
            for (int c = 0; c < columns; c++) {
                codes[r][c] = random.nextInt(top + 1);
                values.putFloat(scales[groupOf[c]][r] * (codes[r][c] - zeros[groupOf[c]][r]));
            }
        }
        expanded.add(module + ".weight", "F32", new long[] {rows, columns}, values.array());
        int n = 32 / form.bits;
        packed.add(
                module + ".qweight", "I32", form.awq ? new long[] {columns, rows / n} : new long[] {columns / n, rows},
                form.awq ? awqWords(codes, rows, columns) : gptqWords(codes, rows, columns));
        packed.add(module + ".qzeros", "I32", new long[] {groups, rows / n}, zeroWords(zeros, rows, groups));
        ByteBuffer halves = bytes(2 * groups * rows);
        for (float[] line : scales) {
            for (float scale : line) {
                halves.putShort((short) HalfFloats.floatToF16(scale));
            }
        }
        packed.add(module + ".scales", "F16", new long[] {groups, rows}, halves.array());
        if (!form.awq) {
            ByteBuffer index = bytes(4 * columns);
            for (int g : groupOf) {
                index.putInt(g);
            }
            packed.add(module + ".g_idx", "I32", new long[] {columns}, index.array());
            if (!module.matches(".*\\.[qkv]_proj")) {
                packed.add(module + ".bias", "F16", new long[] {rows}, new byte[2 * rows]);
            }
        }
    }

    private int[] groupOf(int columns, int size) {
        List<Integer> order = new ArrayList<>();
        for (int c = 0; c < columns; c++) {
            order.add(c / size);
        }
        if (form.actOrder) {
            Collections.shuffle(order, random);
        }
        return order.stream().mapToInt(Integer::intValue).toArray();
    }

    /** Word [c / n, r] has column c of row r in the bits from {@code bits (c mod n)} on. */
    private byte[] gptqWords(int[][] codes, int rows, int columns) {
        int n = 32 / form.bits;
        ByteBuffer out = bytes(4 * columns / n * rows);
        for (int line = 0; line < columns / n; line++) {
            for (int r = 0; r < rows; r++) {
                int word = 0;
                for (int i = 0; i < n; i++) {
                    word |= codes[r][line * n + i] << form.bits * i;
                }
                out.putInt(word);
            }
        }
        return out.array();
    }

    /** Word [c, r / 8] has row {@code 8 (r / 8) + order[i]} of column c in nibble i. */
    private static byte[] awqWords(int[][] codes, int rows, int columns) {
        ByteBuffer out = bytes(columns * rows / 2);
        for (int c = 0; c < columns; c++) {
            for (int r = 0; r < rows; r += 8) {
                int word = 0;
                for (int i = 0; i < 8; i++) {
                    word |= codes[r + AWQ_ORDER[i]][c] << 4 * i;
                }
                out.putInt(word);
            }
        }
        return out.array();
    }

    private byte[] zeroWords(int[][] zeros, int rows, int groups) {
        int n = 32 / form.bits;
        int mask = (1 << form.bits) - 1;
        ByteBuffer out = bytes(4 * groups * rows / n);
        for (int g = 0; g < groups; g++) {
            for (int r = 0; r < rows; r += n) {
                int word = 0;
                for (int i = 0; i < n; i++) {
                    int zero = zeros[g][r + (form.awq ? AWQ_ORDER[i] : i)];
                    word |= (form.version == 1 ? zero - 1 & mask : zero) << form.bits * i;
                }
                out.putInt(word);
            }
        }
        return out.array();
    }

    private static ByteBuffer bytes(int count) {
        return ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
    }
}
