package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelFiles;
import io.qwen4j.tinyqwen.TinyQwen;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

/** Makes reward models of the bundled model: its weights, and in a shard of their own a head of random ones. */
final class RewardFiles {
    private static final int HIDDEN = 256;
    private static final String WEIGHTS = "model-00001-of-00002.safetensors";
    private static final String HEAD = "model-00002-of-00002.safetensors";

    private RewardFiles() {}

    /** A model that judges conversations. */
    static Path outcome(Path directory) throws IOException {
        return make(directory, "Qwen2ForRewardModel", 1);
    }

    /** A model that judges steps. */
    static Path process(Path directory) throws IOException {
        return make(directory, "Qwen2ForProcessRewardModel", 2);
    }

    private static Path make(Path directory, String architecture, int outputs) throws IOException {
        Tool.copy(TinyQwen.directory(), directory);
        replace(directory.resolve("config.json"), "\"Qwen2ForCausalLM\"", "\"" + architecture + "\"");
        replace(directory.resolve("tokenizer.json"), "\"added_tokens\"\\s*:\\s*\\[", "$0{\"id\":3990,\"content\":\"<extra_0>\","
                + "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},");
        Map<String, String> places = new LinkedHashMap<>();
        Files.move(directory.resolve("model.safetensors"), directory.resolve(WEIGHTS));
        for (ModelFileInfo.Tensor tensor : ModelFiles.inspect(TinyQwen.directory()).tensors()) {
            places.put(tensor.name(), WEIGHTS);
        }
        Map<String, int[]> head = new LinkedHashMap<>();
        head.put("score.0.weight", new int[] {HIDDEN, HIDDEN});
        head.put("score.0.bias", new int[] {HIDDEN});
        head.put("score.2.weight", new int[] {outputs, HIDDEN});
        head.put("score.2.bias", new int[] {outputs});
        writeRandom(directory.resolve(HEAD), head);
        head.keySet().forEach(name -> places.put(name, HEAD));
        Files.writeString(directory.resolve("model.safetensors.index.json"), places.entrySet().stream()
                .map(place -> "\"" + place.getKey() + "\": \"" + place.getValue() + "\"")
                .collect(Collectors.joining(", ", "{\"metadata\": {}, \"weight_map\": {", "}}")));
        return directory;
    }

    private static void replace(Path file, String pattern, String by) throws IOException {
        String text = Files.readString(file);
        String changed = text.replaceFirst(pattern, by);
        assertNotEquals(text, changed, pattern);
        Files.writeString(file, changed);
    }

    private static void writeRandom(Path file, Map<String, int[]> shapes) throws IOException {
        StringBuilder header = new StringBuilder("{");
        int end = 0;
        for (Map.Entry<String, int[]> tensor : shapes.entrySet()) {
            int[] shape = tensor.getValue();
            int bytes = 4 * shape[0] * (shape.length == 1 ? 1 : shape[1]);
            header.append(end == 0 ? "" : ",").append('"').append(tensor.getKey()).append("\":{\"dtype\":\"F32\",\"shape\":[")
                    .append(shape[0]).append(shape.length == 1 ? "" : "," + shape[1]).append("],\"data_offsets\":[").append(end).append(',')
                    .append(end + bytes).append("]}");
            end += bytes;
        }
        byte[] json = header.append('}').toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer all = ByteBuffer.allocate(8 + json.length + end).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length).put(json);
        Random random = new Random(7);
        while (all.hasRemaining()) {
            all.putFloat((float) random.nextGaussian() / 16);
        }
        Files.write(file, all.array());
    }
}
