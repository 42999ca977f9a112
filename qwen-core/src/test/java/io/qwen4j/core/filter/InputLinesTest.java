package io.qwen4j.core.filter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InputLinesTest {
    @TempDir
    Path temporary;

    private List<InputLines.Line> read(byte[] bytes, long start, long number, int most) throws IOException {
        Path file = Files.write(temporary.resolve("lines"), bytes);
        List<InputLines.Line> lines = new ArrayList<>();
        try (RandomAccessFile open = new RandomAccessFile(file.toFile(), "r")) {
            InputLines reader = new InputLines(open, start, number, most);
            for (InputLines.Line line = reader.next(); line != null; line = reader.next()) {
                lines.add(line);
                // Others read the file between two lines.
                open.seek(0);
                open.read();
            }
            assertNull(reader.next());
        }
        return lines;
    }

    private List<InputLines.Line> read(String text) throws IOException {
        return read(text.getBytes(StandardCharsets.UTF_8), 0, 0, 100);
    }

    private static String text(InputLines.Line line) {
        assertNotNull(line.bytes());
        return new String(line.bytes(), StandardCharsets.UTF_8);
    }

    @Test
    void linesEndWithALineFeedOrTheFile() throws IOException {
        assertEquals(List.of(), read(""));
        assertEquals(List.of("", "a", "b\r", "", "é"), read("\na\nb\r\n\né").stream().map(InputLinesTest::text).toList());
        assertEquals(List.of(true, true, false), read("a\n\nb").stream().map(InputLines.Line::ended).toList());
        assertEquals(List.of(true), read("a\n").stream().map(InputLines.Line::ended).toList());
    }

    @Test
    void tooLongALineIsFoundToItsEndAndNotHeld() throws IOException {
        byte[] text = ("a".repeat(100) + "\n" + "b".repeat(101) + "\n" + "c".repeat(200_000) + "\nd").getBytes(StandardCharsets.UTF_8);
        List<InputLines.Line> lines = read(text, 0, 0, 100);
        assertEquals(4, lines.size());
        assertEquals("a".repeat(100), text(lines.get(0)));
        assertNull(lines.get(1).bytes());
        assertEquals(101, lines.get(1).length());
        assertNull(lines.get(2).bytes());
        assertEquals(200_000, lines.get(2).length());
        assertEquals("d", text(lines.get(3)));
        assertEquals(1, lines.get(3).length());
    }

    @Test
    void randomBytesAreSplitAsTheyShould() throws IOException {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 60; round++) {
            ByteArrayOutputStream text = new ByteArrayOutputStream();
            List<byte[]> expected = new ArrayList<>();
            int count = random.nextInt(40);
            for (int i = 0; i < count; i++) {
                byte[] line = new byte[random.nextInt(4) == 0 ? random.nextInt(150_000) : random.nextInt(80)];
                random.nextBytes(line);
                for (int k = 0; k < line.length; k++) {
                    line[k] = line[k] == '\n' ? 0 : line[k];
                }
                expected.add(line);
                text.writeBytes(line);
                text.write('\n');
            }
            byte[] all = text.toByteArray();
            int most = 1 + random.nextInt(200_000);
            List<InputLines.Line> lines = read(all, 0, 0, most);
            assertEquals(expected.size(), lines.size(), "seed " + seed);
            long place = 0;
            for (int i = 0; i < lines.size(); i++) {
                InputLines.Line line = lines.get(i);
                assertEquals(place, line.start(), "seed " + seed);
                assertEquals(i + 1, line.number());
                place = line.end();
                if (expected.get(i).length <= most) {
                    assertArrayEquals(expected.get(i), line.bytes(), "seed " + seed);
                } else {
                    assertNull(line.bytes(), "seed " + seed);
                    byte[] found = Arrays.copyOfRange(all, (int) line.start(), (int) (line.start() + line.length()));
                    assertArrayEquals(expected.get(i), found, "seed " + seed);
                }
            }
            assertEquals(all.length, place);
            if (!lines.isEmpty()) {
                int from = random.nextInt(lines.size());
                List<InputLines.Line> rest = read(all, lines.get(from).start(), from, most);
                assertEquals(lines.size() - from, rest.size(), "seed " + seed);
                assertTrue(rest.stream().allMatch(line -> line.end() == lines.get((int) line.number() - 1).end()), "seed " + seed);
            }
        }
    }
}
