package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Damaged files are read or refused, and nothing else happens. */
class DamagedFileTest {
    private static final String[] PIECES = {
        "{", "}", "[", "]", "\"", ",", ":", "null", "-1", "1e9", "99999999999999999999", "\\ud800", "\\u0000", "true",
        "\u0120", "<|end|>", "\"id\":", "\"\""
    };

    @TempDir
    Path directory;

    private final long seed = System.nanoTime();
    private final Random random = new Random(seed);

    private byte[] damaged(byte[] bytes) {
        byte[] copy = bytes.clone();
        for (int i = random.nextInt(3); i >= 0; i--) {
            int at = random.nextInt(copy.length);
            switch (random.nextInt(5)) {
                case 0 -> copy[at] = (byte) random.nextInt(256);
                case 1 -> copy[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> copy = java.util.Arrays.copyOf(copy, Math.max(at, 1));
                case 3 -> {
                    int end = Math.min(copy.length, at + 1 + random.nextInt(40));
                    copy = (new String(copy, 0, at, StandardCharsets.ISO_8859_1)
                                    + new String(copy, end, copy.length - end, StandardCharsets.ISO_8859_1) + " ")
                            .getBytes(StandardCharsets.ISO_8859_1);
                }
                default -> {
                    byte[] piece = PIECES[random.nextInt(PIECES.length)].getBytes(StandardCharsets.UTF_8);
                    System.arraycopy(piece, 0, copy, at, Math.min(piece.length, copy.length - at));
                }
            }
        }
        return copy;
    }

    private int damage(String name, byte[] whole, int rounds) throws IOException {
        int read = 0;
        for (int round = 0; round < rounds; round++) {
            Files.write(directory.resolve(name), damaged(whole));
            try {
                BpeTokenizer tokenizer = TokenizerLoader.load(directory, ModelLimits.DEFAULT);
                int[] ids = tokenizer.encode("hello world <|end|>aaaa \u00e9");
                tokenizer.decode(ids);
                read++;
            } catch (ModelFileException expected) {
                assertTrue(expected.getMessage().length() < 2000, "the message is for people");
            } catch (RuntimeException | Error e) {
                fail("seed " + seed + ", round " + round + " of " + name, e);
            }
        }
        return read;
    }

    @Test
    void tokenizer() throws IOException {
        int read = damage("tokenizer.json", new SmallFiles().bytes(), 1500);
        assertTrue(read < 1500, "damage is noticed");
    }

    @Test
    void configuration() throws IOException {
        var files = new SmallFiles();
        Files.write(directory.resolve("tokenizer.json"), files.bytes());
        String config = "{\"add_bos_token\":false,\"added_tokens_decoder\":{\"267\":{\"content\":\"<|end|>\",\"special\":true}},"
                + "\"bos_token\":null,\"chat_template\":\"{{ x }}\",\"eos_token\":\"<|end|>\",\"pad_token\":{\"content\":\"hell\"}}";
        damage("tokenizer_config.json", config.getBytes(StandardCharsets.UTF_8), 700);
    }

    @Test
    void vocabularyAndMerges() throws IOException {
        var files = new SmallFiles();
        byte[] vocabulary = files.vocabulary.toString().getBytes(StandardCharsets.UTF_8);
        byte[] merges = ("#version: 0.2\n" + String.join("\n", SmallFiles.MERGES) + "\n").getBytes(StandardCharsets.UTF_8);
        Files.write(directory.resolve("vocab.json"), vocabulary);
        Files.write(directory.resolve("merges.txt"), merges);
        assertTrue(damage("merges.txt", merges, 700) > 0);
        Files.write(directory.resolve("merges.txt"), merges);
        assertTrue(damage("vocab.json", vocabulary, 700) < 700, "damage is noticed");
    }
}
