package io.qwen4j;

import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.quant.HalfFloats;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Writes Hugging Face directories of random weights as they are published: quantized by GPTQ or AWQ, or the same weights in F32. The
 * core's own tests compare single values; here a directory is all that is needed.
 */
final class PublishedCheckpoint {
    private static final int[] AWQ_ORDER = {0, 2, 4, 6, 1, 3, 5, 7};

    private final boolean expanded;
    private final boolean awq;
    private final boolean actOrder;
    private final int bits;
    private final int groupSize;
    private final Random random;
    private final StringBuilder header = new StringBuilder("{\"__metadata__\":{\"format\":\"pt\"}");
    private final ByteArrayOutputStream data = new ByteArrayOutputStream();

    /** Forms of a checkpoint. */
    enum Form {
        GPTQ(false, false),
        ACT_ORDER(false, true),
        AWQ(true, false);

        private final boolean awq;
        private final boolean actOrder;

        Form(boolean awq, boolean actOrder) {
            this.awq = awq;
            this.actOrder = actOrder;
        }
    }

    private PublishedCheckpoint(WeightType type, Form form, boolean expanded, long seed) {
        this.expanded = expanded;
        awq = form.awq;
        actOrder = form.actOrder;
        bits = type.name().startsWith("INT4") ? 4 : 8;
        groupSize = type.blockSize();
        random = new Random(seed);
    }

    /** Writes a directory whose matrices are read as a type; {@code expanded} gives the same values in F32. */
    static Path write(Path directory, QwenConfig config, WeightType type, Form form, boolean expanded, long seed) {
        var out = new PublishedCheckpoint(type, form, expanded, seed);
        for (QwenTensors.Expected e : QwenTensors.separate(config).toList()) {
            boolean kept = e.name().equals(QwenTensors.EMBEDDING) || e.name().equals(QwenTensors.HEAD) || e.name().endsWith(QwenTensors.ROUTER);
            if (e.kind() == QwenTensors.Kind.MATRIX && !kept) {
                out.matrix(e.name().replaceAll("\\.weight$", ""), (int) e.rows(), (int) e.columns());
            } else {
                out.half(e);
            }
        }
        try {
            Files.createDirectories(directory);
            Files.writeString(directory.resolve("config.json"), out.json(config));
            byte[] text = (out.header + "}").getBytes(StandardCharsets.UTF_8);
            ByteBuffer file = ByteBuffer.allocate(8 + text.length + out.data.size()).order(ByteOrder.LITTLE_ENDIAN);
            Files.write(directory.resolve("model.safetensors"), file.putLong(text.length).put(text).put(out.data.toByteArray()).array());
            return directory;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String json(QwenConfig c) {
        String quantization = awq
                ? "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": %d, \"version\": \"gemm\"}".formatted(groupSize)
                : "{\"quant_method\": \"gptq\", \"bits\": %d, \"group_size\": %d, \"desc_act\": %b, \"sym\": false}"
                        .formatted(bits, groupSize, actOrder);
        QwenConfig.Experts experts = c.experts();
        String mixture = experts == null ? "" : """
                , "num_experts": %d, "num_experts_per_tok": %d, "moe_intermediate_size": %d, "shared_expert_intermediate_size": %d,
                 "norm_topk_prob": %b
                """.formatted(experts.count(), experts.used(), experts.ffnSize(), experts.sharedFfnSize(), experts.normalized());
        return """
                {"model_type": "%s", "num_hidden_layers": %d, "hidden_size": %d, "num_attention_heads": %d, "num_key_value_heads": %d,
                 "intermediate_size": %d, "vocab_size": %d, "tie_word_embeddings": %b, "max_position_embeddings": %d, "rope_theta": 1e6%s%s}
                """
                .formatted(
                        c.architecture(), c.layers(), c.hiddenSize(), c.heads(), c.kvHeads(), c.ffnSize(), c.vocabularyRows(), c.tiedHead(),
                        c.contextLength(), mixture, expanded ? "" : ", \"quantization_config\": " + quantization);
    }

    private void add(String name, String dtype, byte[] bytes, long... shape) {
        header.append(",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
                .formatted(name, dtype, Arrays.toString(shape), data.size(), data.size() + bytes.length));
        data.writeBytes(bytes);
    }

    private void half(QwenTensors.Expected e) {
        ByteBuffer halves = bytes(2 * e.rows() * e.columns());
        while (halves.hasRemaining()) {
            double x = random.nextGaussian();
            double value = e.matrix() ? x / Math.sqrt(e.columns()) : e.name().contains("norm") ? 1 + 0.1 * x : 0.1 * x;
            halves.putShort((short) HalfFloats.floatToF16((float) value));
        }
        add(e.name(), "F16", halves.array(), e.shape());
    }

    private void matrix(String module, int rows, int columns) {
        int groups = columns / groupSize;
        int top = (1 << bits) - 1;
        List<Integer> groupOf = new ArrayList<>();
        for (int c = 0; c < columns; c++) {
            groupOf.add(c / groupSize);
        }
        if (actOrder) {
            Collections.shuffle(groupOf, random);
        }
        int[][] zeros = new int[groups][rows];
        int[][] codes = new int[columns][rows];
        ByteBuffer scales = bytes(2L * groups * rows);
        for (int g = 0; g < groups; g++) {
            for (int r = 0; r < rows; r++) {
                zeros[g][r] = top / 4 + random.nextInt(top / 2);
                scales.putShort((short) HalfFloats.floatToF16((float) ((3 + random.nextDouble()) / top / Math.sqrt(columns))));
            }
        }
        for (int[] column : codes) {
            for (int r = 0; r < rows; r++) {
                column[r] = random.nextInt(top + 1);
            }
        }
        if (expanded) {
            ByteBuffer values = bytes(4L * rows * columns);
            for (int r = 0; r < rows; r++) {
                for (int c = 0; c < columns; c++) {
                    int g = groupOf.get(c);
                    values.putFloat(HalfFloats.f16ToFloat(scales.getShort(2 * (g * rows + r)) & 0xffff) * (codes[c][r] - zeros[g][r]));
                }
            }
            add(module + ".weight", "F32", values.array(), rows, columns);
            return;
        }
        int n = 32 / bits;
        ByteBuffer words = bytes((long) columns * rows * bits / 8);
        if (awq) {
            for (int[] column : codes) {
                putRows(column, words, 0);
            }
            add(module + ".qweight", "I32", words.array(), columns, rows / n);
        } else {
            for (int c = 0; c < columns; c += n) {
                for (int r = 0; r < rows; r++) {
                    int word = 0;
                    for (int i = 0; i < n; i++) {
                        word |= codes[c + i][r] << bits * i;
                    }
                    words.putInt(word);
                }
            }
            add(module + ".qweight", "I32", words.array(), columns / n, rows);
            ByteBuffer index = bytes(4L * columns);
            groupOf.forEach(index::putInt);
            add(module + ".g_idx", "I32", index.array(), columns);
        }
        ByteBuffer stored = bytes((long) groups * rows * bits / 8);
        for (int[] line : zeros) {
            putRows(line, stored, awq ? 0 : 1);
        }
        add(module + ".qzeros", "I32", stored.array(), groups, rows / n);
        add(module + ".scales", "F16", scales.array(), groups, rows);
    }

    /** Words of neighbouring rows; the first layout of GPTQ has zero points less one. */
    private void putRows(int[] line, ByteBuffer out, int less) {
        int n = 32 / bits;
        for (int r = 0; r < line.length; r += n) {
            int word = 0;
            for (int i = 0; i < n; i++) {
                word |= (line[r + (awq ? AWQ_ORDER[i] : i)] - less) << bits * i;
            }
            out.putInt(word);
        }
    }

    private static ByteBuffer bytes(long count) {
        return ByteBuffer.allocate(Math.toIntExact(count)).order(ByteOrder.LITTLE_ENDIAN);
    }
}
