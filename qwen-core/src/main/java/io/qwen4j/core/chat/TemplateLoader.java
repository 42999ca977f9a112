package io.qwen4j.core.chat;

import io.qwen4j.ChatTemplate;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.TemplateException;
import io.qwen4j.core.chat.jinja.JinjaLimits;
import io.qwen4j.core.format.Json;
import io.qwen4j.core.format.ModelDirectory;
import io.qwen4j.core.format.ModelFile;
import io.qwen4j.core.format.gguf.GgufFile;
import io.qwen4j.core.format.gguf.GgufMetadata;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Finds the chat template of a model. */
public final class TemplateLoader {
    private static final String GGUF_KEY = "tokenizer.chat_template";

    private TemplateLoader() {}

    /**
     * Reads the chat template of a directory or GGUF file. A directory's chat_template.jinja comes before the one in tokenizer_config.json,
     * of several named ones the one called default is taken, and a model without a template gets that of Qwen2.5.
     *
     * @throws ModelFileException if a file is not what it should be
     * @throws TemplateException if the template is outside the supported subset
     */
    public static ChatTemplate load(Path model, ModelLimits limits) {
        if (Files.isDirectory(model)) {
            return loadDirectory(new ModelDirectory(model), limits);
        }
        return of(GgufFile.readMetadata(model, limits), limits);
    }

    /** Reads the chat template in the metadata of a GGUF file that is open already, as {@link #load} does. */
    public static ChatTemplate of(GgufMetadata metadata, ModelLimits limits) {
        String source = metadata.has(GGUF_KEY) ? metadata.string(GGUF_KEY) : "";
        return make(metadata.file(), source, SpecialTokens.of(metadata), limits);
    }

    private static ChatTemplate loadDirectory(ModelDirectory directory, ModelLimits limits) {
        Path configFile = directory.file("tokenizer_config.json");
        Map<String, @Nullable Object> config =
                directory.has("tokenizer_config.json") ? Json.readObject(configFile, limits.tokenizerBytes()) : Map.of();
        Path file = directory.file("chat_template.jinja");
        if (directory.has("chat_template.jinja")) {
            return make(file, read(file, limits), SpecialTokens.of(config), limits);
        }
        return make(configFile, configured(configFile, config.get("chat_template")), SpecialTokens.of(config), limits);
    }

    private static ChatTemplate make(Path file, String source, Map<String, Object> specialTokens, ModelLimits limits) {
        if (source.length() > limits.templateCharacters()) {
            throw new ModelFileException(
                    Reason.LIMIT,
                    file,
                    "the chat template has " + source.length() + " characters, at most " + limits.templateCharacters() + " are read");
        }
        JinjaLimits usual = JinjaLimits.DEFAULT;
        JinjaLimits bounds =
                new JinjaLimits(limits.templateCharacters(), usual.nesting(), usual.depth(), usual.steps(), usual.characters());
        return new JinjaChatTemplate(source.isEmpty() ? builtIn() : source, specialTokens, bounds, Clock.systemDefaultZone());
    }

    private static String configured(Path file, @Nullable Object value) {
        if (value == null) {
            return "";
        }
        if (value instanceof String source) {
            return source;
        }
        if (value instanceof List<?> list) {
            for (Object entry : list) {
                boolean wanted = entry instanceof Map<?, ?> named && "default".equals(named.get("name"));
                if (wanted && ((Map<?, ?>) entry).get("template") instanceof String source) {
                    return source;
                }
            }
            throw new ModelFileException(Reason.UNSUPPORTED, file, "chat_template lists no template named default");
        }
        throw new ModelFileException(Reason.CORRUPT, file, "chat_template must be a string or a list of named templates");
    }

    private static String read(Path path, ModelLimits limits) {
        try (ModelFile file = ModelFile.open(path)) {
            // A character takes at most 4 bytes.
            if (file.size() > 4L * limits.templateCharacters()) {
                throw file.error(
                        Reason.LIMIT, "a size of " + file.size() + " bytes, at most " + 4L * limits.templateCharacters() + " are read");
            }
            ByteBuffer bytes = ByteBuffer.allocate((int) file.size());
            file.read(0, bytes);
            return StandardCharsets.UTF_8.newDecoder().decode(bytes.flip()).toString();
        } catch (CharacterCodingException e) {
            throw new ModelFileException(Reason.CORRUPT, path, "a chat template must be UTF-8, found other bytes", e);
        }
    }

    /** The template of Qwen2.5-Instruct. */
    public static String builtIn() {
        try (InputStream in = TemplateLoader.class.getResourceAsStream("qwen2.5-instruct.jinja")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("the built-in chat template cannot be read", e);
        }
    }
}
