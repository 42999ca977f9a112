package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.BackendInfo;
import java.io.IOException;
import java.util.List;
import java.util.Locale;

/** What this machine can compute with. */
final class InfoCommand implements Command {
    @Override
    public String name() {
        return "info";
    }

    @Override
    public String synopsis() {
        return "[--json]";
    }

    @Override
    public String summary() {
        return "Show the version, the backends that work here and why others do not, and their devices";
    }

    @Override
    public List<Option> options() {
        return List.of(Option.flag("--json", "print a JSON object"));
    }

    @Override
    public int operands() {
        return 0;
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        List<BackendInfo> backends = BackendInfo.all();
        if (arguments.has("--json")) {
            streams.out().println(Json.write(json -> write(json, backends)));
        } else {
            print(streams.out(), backends);
        }
    }

    private static void write(JsonGenerator json, List<BackendInfo> backends) throws IOException {
        json.writeStartObject();
        json.writeStringField("version", Main.version());
        json.writeStringField("java", System.getProperty("java.version"));
        json.writeNumberField("processors", Runtime.getRuntime().availableProcessors());
        json.writeArrayFieldStart("backends");
        for (BackendInfo backend : backends) {
            json.writeStartObject();
            json.writeStringField("name", name(backend));
            json.writeBooleanField("available", backend.isAvailable());
            if (backend.unavailability() != null) {
                json.writeStringField("reason", backend.unavailability());
            }
            json.writeArrayFieldStart("hardware");
            for (BackendInfo.Hardware hardware : backend.hardware()) {
                json.writeStartObject();
                json.writeStringField("name", hardware.name());
                json.writeStringField("capability", hardware.capability());
                if (hardware.totalBytes() > 0) {
                    json.writeNumberField("total_bytes", hardware.totalBytes());
                    json.writeNumberField("free_bytes", hardware.freeBytes());
                }
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    private static void print(Output out, List<BackendInfo> backends) throws IOException {
        out.println("version  " + Main.version());
        out.println("java     " + System.getProperty("java.version") + ", " + Runtime.getRuntime().availableProcessors() + " processors, heap up to "
                + gib(Runtime.getRuntime().maxMemory()) + " GiB");
        for (BackendInfo backend : backends) {
            String reason = backend.unavailability();
            out.println(String.format(Locale.ROOT, "%-8s ", name(backend)) + (reason == null ? "works" : "does not work here: " + reason));
            for (BackendInfo.Hardware hardware : backend.hardware()) {
                out.println("         " + hardware.name() + ", " + hardware.capability() + (hardware.totalBytes() == 0 ? ""
                        : ", " + gib(hardware.freeBytes()) + " of " + gib(hardware.totalBytes()) + " GiB free"));
            }
        }
    }

    private static String name(BackendInfo backend) {
        return backend.device().name().toLowerCase(Locale.ROOT);
    }

    private static String gib(long bytes) {
        return String.format(Locale.ROOT, "%.1f", (double) bytes / (1 << 30));
    }
}
