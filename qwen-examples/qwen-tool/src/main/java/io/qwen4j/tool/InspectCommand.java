package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** What a model's files hold. */
final class InspectCommand implements Command {
    @Override
    public String name() {
        return "inspect";
    }

    @Override
    public String synopsis() {
        return "MODEL [--json]";
    }

    @Override
    public String summary() {
        return "List metadata and tensors of a model's files, without loading weights";
    }

    @Override
    public List<Option> options() {
        return List.of(Option.flag("--json", "print a JSON object"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        Path path = CommonFlags.model(arguments);
        ModelFileInfo info = ModelFiles.inspect(path);
        if (arguments.has("--json")) {
            streams.out().println(Json.write(json -> write(json, path, info)));
        } else {
            print(streams.out(), path, info);
        }
    }

    private static long bytes(ModelFileInfo info) {
        return info.tensors().stream().mapToLong(ModelFileInfo.Tensor::bytes).sum();
    }

    private static void write(JsonGenerator json, Path path, ModelFileInfo info) throws IOException {
        json.writeStartObject();
        json.writeStringField("model", path.toString());
        json.writeStringField("format", info.format());
        json.writeStringField("positions", info.positions());
        json.writeStringField("quantization", info.quantization());
        json.writeNumberField("parameters", info.parameters());
        json.writeNumberField("tensor_bytes", bytes(info));
        json.writeObjectFieldStart("metadata");
        for (Map.Entry<String, String> entry : info.metadata().entrySet()) {
            json.writeStringField(entry.getKey(), entry.getValue());
        }
        json.writeEndObject();
        json.writeArrayFieldStart("tensors");
        for (ModelFileInfo.Tensor tensor : info.tensors()) {
            json.writeStartObject();
            json.writeStringField("name", tensor.name());
            json.writeStringField("type", tensor.type());
            json.writeArrayFieldStart("shape");
            for (long dimension : tensor.shape()) {
                json.writeNumber(dimension);
            }
            json.writeEndArray();
            json.writeNumberField("bytes", tensor.bytes());
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    private static void print(Output out, Path path, ModelFileInfo info) throws IOException {
        out.println("model       " + path);
        out.println("format      " + info.format());
        out.println("positions   " + info.positions());
        out.println("weights     " + info.quantization());
        out.println(String.format(Locale.ROOT, "parameters  %,d", info.parameters()));
        out.println(String.format(Locale.ROOT, "tensors     %,d in %,d bytes", info.tensors().size(), bytes(info)));
        Map<String, Long> types = info.tensors().stream()
                .collect(Collectors.groupingBy(ModelFileInfo.Tensor::type, TreeMap::new, Collectors.counting()));
        out.println(types.entrySet().stream()
                .map(type -> type.getKey() + " x " + type.getValue())
                .collect(Collectors.joining(", ", "types       ", "")));
        out.println("\nmetadata");
        for (Map.Entry<String, String> entry : info.metadata().entrySet()) {
            out.println("  " + entry.getKey() + " = " + entry.getValue().replaceAll("\\R", "\\\\n"));
        }
        out.println("\ntensors");
        int width = info.tensors().stream().mapToInt(t -> t.name().length()).max().orElse(0);
        for (ModelFileInfo.Tensor tensor : info.tensors()) {
            String name = tensor.name() + " ".repeat(width - tensor.name().length());
            out.println(String.format(Locale.ROOT, "  %s  %-6s %,14d  %s", name, tensor.type(), tensor.bytes(), tensor.shape()));
        }
    }
}
