package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What only shows in a process of its own: exit status, encoding, readers that go away. */
class ProcessTest {
    @TempDir
    Path temporary;

    private ProcessBuilder tool(String... words) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                "io.qwen4j.tool.Main"));
        command.addAll(List.of(words));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(temporary.resolve("err").toFile());
        builder.environment().put("LC_ALL", "C");
        return builder;
    }

    private String errors() throws IOException {
        return Files.readString(temporary.resolve("err"));
    }

    private static int end(Process process) throws InterruptedException {
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), "still running after a minute");
        return process.exitValue();
    }

    @Test
    void exitStatusTellsTheKindOfError() throws Exception {
        assertEquals(0, end(tool("--version").start()));
        assertEquals(2, end(tool("frobnicate").start()));
        assertEquals(1, end(tool("inspect", "no-such-model").start()));
        assertEquals("qwen: no-such-model: no such model; expected a directory, a GGUF file or tiny-qwen\n", errors());
    }

    @Test
    void textIsUtf8WhateverTheLocale() throws Exception {
        Process encode = tool("tokenize").start();
        try (OutputStream in = encode.getOutputStream()) {
            in.write("\"Grüße 漢字 😀\"\n".getBytes(StandardCharsets.UTF_8));
        }
        byte[] ids = encode.getInputStream().readAllBytes();
        assertEquals(0, end(encode), errors());
        Process decode = tool("tokenize", "--decode").start();
        try (OutputStream in = decode.getOutputStream()) {
            in.write(ids);
        }
        assertEquals("\"Grüße 漢字 😀\"\n", new String(decode.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
        assertEquals(0, end(decode), errors());
    }

    @Test
    void renderReadsAPipe() throws Exception {
        Process render = tool("render").start();
        try (OutputStream in = render.getOutputStream()) {
            in.write("{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}".getBytes(StandardCharsets.UTF_8));
        }
        String prompt = new String(render.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, end(render), errors());
        assertTrue(prompt.endsWith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"), prompt);
    }

    @Test
    void aReaderThatGoesAwayEndsItQuietly() throws Exception {
        Path input = temporary.resolve("in");
        Files.writeString(input, "\"word word word word\"\n".repeat(50_000));
        Process process = tool("tokenize").redirectInput(input.toFile()).start();
        process.getInputStream().read();
        process.getInputStream().close();
        assertEquals(0, end(process), errors());
        assertEquals("", errors());
    }

    @Test
    void aFullDiskIsAnError() throws Exception {
        File full = new File("/dev/full");
        assertTrue(full.exists() || !System.getProperty("os.name").equals("Linux"));
        if (full.exists()) {
            assertEquals(1, end(tool("--version").redirectOutput(full).start()));
            assertEquals("qwen: No space left on device\n", errors());
        }
    }

    @Test
    void verboseShowsWhereAnErrorCameFrom() throws Exception {
        assertEquals(1, end(tool("inspect", "no-such-model", "--verbose").start()));
        assertTrue(errors().contains("\tat io.qwen4j.tool."), errors());
    }

    @Test
    void anAnsweredLineIsSeenBeforeTheNextIsWritten() throws Exception {
        Process process = tool("tokenize").start();
        OutputStream in = process.getOutputStream();
        for (int i = 0; i < 3; i++) {
            in.write("\"a\"\n".getBytes(StandardCharsets.UTF_8));
            in.flush();
            int c = process.getInputStream().read();
            assertEquals('[', c, errors());
            while (c != '\n') {
                c = process.getInputStream().read();
            }
        }
        in.close();
        assertEquals(0, end(process), errors());
    }
}
