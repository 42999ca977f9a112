package io.qwen4j.core.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.ChatTemplate;
import io.qwen4j.Message;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.TemplateException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TemplateLoaderTest {
    @TempDir
    Path directory;

    private String rendered() {
        return TemplateLoader.load(directory, ModelLimits.DEFAULT).render(List.of(Message.user("x")), List.of(), true).text();
    }

    private void write(String name, String text) throws IOException {
        Files.writeString(directory.resolve(name), text);
    }

    private void refused(Reason reason) {
        assertEquals(reason, assertThrows(ModelFileException.class, this::rendered).reason());
    }

    @Test
    void withoutATemplateThatOfQwen25IsTaken() throws IOException {
        String builtIn = GoldenChatTest.resource("qwen2.5-instruct.jinja");
        assertEquals(builtIn, TemplateLoader.load(directory, ModelLimits.DEFAULT).source());
        write("tokenizer_config.json", "{\"bos_token\": null}");
        assertEquals(builtIn, TemplateLoader.load(directory, ModelLimits.DEFAULT).source());
    }

    @Test
    void aFileComesBeforeTheConfiguration() throws IOException {
        write("tokenizer_config.json", "{\"chat_template\": \"config {{ bos_token }}{{ eos_token }}{{ pad_token }}\", \"bos_token\": \"<b>\","
                + " \"eos_token\": {\"content\": \"<e>\", \"lstrip\": false}, \"pad_token\": null}");
        assertEquals("config <b><e>", rendered());
        write("chat_template.jinja", "file {{ bos_token }}\u00e9");
        assertEquals("file <b>\u00e9", rendered());
    }

    @Test
    void ofSeveralTemplatesTheDefaultIsTaken() throws IOException {
        write("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"no\"}, {\"name\": \"default\", \"template\": \"yes\"}]}");
        assertEquals("yes", rendered());
        write("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"no\"}]}");
        refused(Reason.UNSUPPORTED);
    }

    @Test
    void wrongFilesAreRefused() throws IOException {
        write("tokenizer_config.json", "{\"chat_template\": 5}");
        refused(Reason.CORRUPT);
        write("tokenizer_config.json", "[]");
        refused(Reason.CORRUPT);
        write("tokenizer_config.json", "{\"chat_template\": \"{{\"}");
        assertThrows(TemplateException.class, this::rendered);
        write("chat_template.jinja", "a".repeat(ModelLimits.DEFAULT.templateCharacters() + 1));
        refused(Reason.LIMIT);
        Files.write(directory.resolve("chat_template.jinja"), new byte[] {'a', (byte) 0xff});
        refused(Reason.CORRUPT);
        Files.delete(directory.resolve("chat_template.jinja"));
        Files.createDirectory(directory.resolve("chat_template.jinja"));
        refused(Reason.PATH);
        ModelFileException missing = assertThrows(
                ModelFileException.class, () -> TemplateLoader.load(directory.resolve("absent"), ModelLimits.DEFAULT));
        assertEquals(Reason.MISSING, missing.reason());
    }

    @Test
    void readsGguf() throws IOException {
        Path file = directory.resolve("model.gguf");
        Files.write(file, gguf("{{ bos_token }}|{{ eos_token }}|{{ messages[0].content }}"));
        ChatTemplate template = TemplateLoader.load(file, ModelLimits.DEFAULT);
        assertEquals("<b>|<e>|x", template.render(List.of(Message.user("x")), List.of(), true).text());
        Files.write(file, gguf(""));
        assertEquals(GoldenChatTest.resource("qwen2.5-instruct.jinja"), TemplateLoader.load(file, ModelLimits.DEFAULT).source());
    }

    /** A header with a template and two tokens, and no tensor. */
    private static byte[] gguf(String template) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write("GGUF".getBytes(StandardCharsets.US_ASCII));
        out.write(number(4, 3));
        out.write(number(8, 0));
        out.write(number(8, 4));
        string(out, "tokenizer.chat_template");
        out.write(number(4, 8));
        string(out, template);
        string(out, "tokenizer.ggml.tokens");
        out.write(number(4, 9));
        out.write(number(4, 8));
        out.write(number(8, 2));
        string(out, "<b>");
        string(out, "<e>");
        for (String key : List.of("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id")) {
            string(out, key);
            out.write(number(4, 4));
            out.write(number(4, key.contains("bos") ? 0 : 1));
        }
        out.write(new byte[64]);
        return out.toByteArray();
    }

    private static void string(ByteArrayOutputStream out, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.write(number(8, bytes.length));
        out.write(bytes);
    }

    private static byte[] number(int bytes, long value) {
        ByteBuffer buffer = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value);
        return java.util.Arrays.copyOf(buffer.array(), bytes);
    }
}
