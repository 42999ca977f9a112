package io.qwen4j.benchmarks;

import io.qwen4j.Device;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelFiles;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/**
 * How many bytes of a GGUF file's weights a token reads: the pages of the weights that the processor marks as referenced (Linux,
 * {@code /proc/self/clear_refs}) in a step of one token. Pages must be small, which the command in RESULTS.md sees to.
 */
public final class WeightsRead {
    private static final int TOKENS = 20;

    private WeightsRead() {}

    /** Prints the bytes of each of some tokens; the argument is the file. */
    public static void main(String[] arguments) throws IOException {
        Path file = Path.of(arguments[0]);
        double active = activeBytes(ModelFiles.inspect(file));
        LoadOptions options = LoadOptions.builder().device(Device.CPU).contextLength(512).build();
        try (QwenModel model = QwenModel.load(file, options)) {
            long weights = model.info().weightBytes();
            System.out.printf(Locale.ROOT, "weights %,d bytes, active %,.0f%n", weights, active);
            Random random = new Random(1);
            double sum = 0;
            for (int i = 0; i < TOKENS; i++) {
                int[] token = {random.nextInt(model.info().vocabularyRows())};
                Files.writeString(Path.of("/proc/self/clear_refs"), "1");
                model.logits(token, (position, row) -> {});
                long read = referenced(weights);
                sum += read;
                System.out.printf(Locale.ROOT, "token %d: %,d bytes, %.3f of the active ones%n", token[0], read, read / active);
            }
            System.out.printf(Locale.ROOT, "mean: %.3f of the active bytes, %.4f of all%n", sum / TOKENS / active, sum / TOKENS / weights);
        }
    }

    /** Bytes of the matrices that a token is multiplied with, and its row of the embedding. */
    private static double activeBytes(ModelFileInfo info) {
        String architecture = info.metadata().get("general.architecture");
        boolean tied = info.tensors().stream().noneMatch(t -> t.name().equals("output.weight"));
        double bytes = 0;
        for (ModelFileInfo.Tensor tensor : info.tensors()) {
            double share = 1;
            if (tensor.shape().size() == 3) {
                share = Double.parseDouble(info.metadata().get(architecture + ".expert_used_count")) / tensor.shape().get(0);
            } else if (tensor.name().equals("token_embd.weight") && !tied) {
                share = 1.0 / tensor.shape().get(0);
            }
            bytes += share * tensor.bytes();
        }
        return bytes;
    }

    /** Referenced bytes of the mapping that holds the weights: the only one of about their size, vectors aside. */
    private static long referenced(long weights) throws IOException {
        List<String> lines = Files.readAllLines(Path.of("/proc/self/smaps"));
        long heap = Runtime.getRuntime().maxMemory();
        long bytes = -1;
        boolean inside = false;
        for (String line : lines) {
            if (line.startsWith("Size:")) {
                long size = kilobytes(line) << 10;
                inside = size > weights / 10 * 9 && size < weights / 10 * 11 && size != heap;
            } else if (inside && line.startsWith("Referenced:")) {
                bytes = Math.max(bytes, kilobytes(line) << 10);
            }
        }
        if (bytes < 0) {
            throw new IllegalStateException("no mapping of about " + weights + " bytes in /proc/self/smaps");
        }
        return bytes;
    }

    private static long kilobytes(String line) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
    }
}
