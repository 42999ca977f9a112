package io.qwen4j.core.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.model.SparseBudgets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SparseBudgetsFileTest {
    private static final String HEAD = "[\"vertical_and_slash\", 1000, 6096, 0.95]";

    @TempDir
    Path temp;

    private SparseBudgets read(String text) throws IOException {
        Path file = temp.resolve(SparseBudgetsFile.NAME);
        Files.writeString(file, text);
        return SparseBudgetsFile.read(file, 2, 2);
    }

    private static String layers(String first, String second) {
        return "[{\"0\": " + first + ", \"1\": " + HEAD + "}, {\"1\": " + second + ", \"0\": " + HEAD + "}]";
    }

    @Test
    void readsThePublishedForm() throws IOException {
        SparseBudgets budgets = read(layers("[\"vertical_and_slash\", 30, 800, 1.0]", "[\"vertical_and_slash\", 3500, 100, 1]"));
        // A stored 30 means 130.
        assertEquals(130, budgets.columns(0, 0));
        assertEquals(800, budgets.diagonals(0, 0));
        assertEquals(1.0, budgets.score(0, 0));
        assertEquals(3500, budgets.columns(1, 1));
        assertEquals(100, budgets.diagonals(1, 1));
        assertEquals(1000, budgets.columns(1, 0));
        assertEquals(3500, budgets.mostColumns());
        assertEquals(6096, budgets.mostDiagonals());
    }

    @Test
    void raisesWhatIsBelowTheKeysChosenInAnyCase() throws IOException {
        SparseBudgets budgets = read(layers("[\"vertical_and_slash\", 0, 0, 0.5]", "[\"vertical_and_slash\", 29, 99, 0.5]"));
        for (int layer : List.of(0, 1)) {
            assertEquals(30, budgets.columns(layer, layer));
            assertEquals(100, budgets.diagonals(layer, layer));
        }
    }

    @Test
    void keepsWhatItWrites() throws IOException {
        SparseBudgets budgets = new SparseBudgets(3, 5);
        for (int i = 0; i < 15; i++) {
            budgets.set(i / 5, i % 5, 29 + i * i, 100 + 1000 * i, i / 15.0);
        }
        Path file = temp.resolve("b.json");
        Files.writeString(file, "old");
        SparseBudgetsFile.write(budgets, file);
        SparseBudgets read = SparseBudgetsFile.read(file, 3, 5);
        for (int i = 0; i < 15; i++) {
            // 30 would be read as 130; one more is the nearest that can be said.
            int columns = Math.max(30, 29 + i * i);
            assertEquals(columns == 30 ? 31 : columns, read.columns(i / 5, i % 5));
            assertEquals(100 + 1000 * i, read.diagonals(i / 5, i % 5));
            assertEquals(i / 15.0, read.score(i / 5, i % 5), 1e-6);
        }
        assertTrue(Files.readString(file).contains("{\"0\": [\"vertical_and_slash\", 31, 100, 0.000000], \"1\": "));
        try (Stream<Path> files = Files.list(temp)) {
            assertEquals(List.of(file), files.toList());
        }
    }

    @Test
    void sayWhatCannotBeWritten() throws IOException {
        Path nowhere = temp.resolve("none").resolve("b.json");
        ModelFileException e =
                assertThrows(ModelFileException.class, () -> SparseBudgetsFile.write(new SparseBudgets(1, 1), nowhere));
        assertEquals(Reason.IO, e.reason());
        assertTrue(e.getMessage().startsWith(nowhere + ": cannot be written"), e.getMessage());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            [{"0": H, "1": H}]                                    | SHAPE       | budgets for 1 layers, the model has 2
            []                                                    | SHAPE       | budgets for 0 layers, the model has 2
            [{"0": H, "1": H}, {"0": H, "1": H}, {"0": H}]        | SHAPE       | more layers than the 2 of the model
            [{"0": H}, {"0": H, "1": H}]                          | SHAPE       | layer 0, head 1 is missing; the model has 2 heads
            [{"0": H, "1": H}, {}]                                | SHAPE       | layer 1, head 0 is missing
            [{"0": H, "1": H, "2": H}, {"0": H, "1": H}]          | SHAPE       | layer 0 has a head "2", expected 0 to 1
            [{"0": H, "01": H}, {"0": H, "1": H}]                 | SHAPE       | layer 0 has a head "01", expected 0 to 1
            [{"0": H, "-1": H}, {"0": H, "1": H}]                 | SHAPE       | layer 0 has a head "-1"
            [{"0": H, "": H}, {"0": H, "1": H}]                   | SHAPE       | layer 0 has a head ""
            [{"0": H, "1": H, "1": H}, {"0": H, "1": H}]          | DUPLICATE   | layer 0, head 1 occurs twice
            [{"0": H, "1": ["dense", 1, 2, 1]}]                   | UNSUPPORTED | head 1 is of kind "dense", which is not
            [{"0": H, "1": [K, -1, 2, 1]}]                        | CONFIG      | head 1: the number of columns is -1, expected 0 to
            [{"0": H, "1": [K, 1, 16777217, 1]}]                  | CONFIG      | head 1: the number of diagonals is 16777217
            [{"0": H, "1": [K, 99999999999999999999, 2, 1]}]      | CONFIG      | the number of columns is 99999999999999999999
            [{"0": H, "1": [K, 1.5, 2, 1]}]                       | CORRUPT     | the number of columns must be an integer, found a number
            [{"0": H, "1": [K, 1, 2, NaN]}]                       | CONFIG      | head 1: the score is NaN, expected a finite number
            [{"0": H, "1": [K, 1, 2]}]                            | CORRUPT     | layer 0, head 1: the score must be a number
            [{"0": H, "1": [K, 1, 2, 1, 3]}]                      | CORRUPT     | head 1: what follows the score must be
            [{"0": H, "1": [1, 1, 2, 1]}]                         | CORRUPT     | head 1: the kind must be a string, found an integer
            [{"0": H, "1": {}}]                                   | CORRUPT     | layer 0, head 1 must be a list, found an object
            [[]]                                                  | CORRUPT     | layer 0 must be an object, found a list
            {"0": []}                                             | CORRUPT     | the file must be a list, found an object
            [{"0": H, "1": H}, {"0": H, "1": H}] []               | CORRUPT     | something follows the JSON value
            [{"0": H,                                             | CORRUPT     | not JSON
            """)
    void refuses(String text, Reason reason, String message) {
        String whole = text.replace("H", HEAD).replace("K", "\"vertical_and_slash\"");
        ModelFileException e = assertThrows(ModelFileException.class, () -> read(whole));
        assertEquals(reason, e.reason(), e.getMessage());
        assertTrue(e.getMessage().startsWith(temp.resolve(SparseBudgetsFile.NAME) + ": "), e.getMessage());
        assertTrue(e.getMessage().contains(message), e.getMessage());
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void refusesWhatIsTooLarge() throws IOException {
        ModelFileException e = assertThrows(ModelFileException.class, () -> read(" ".repeat(17 << 20)));
        assertEquals(Reason.LIMIT, e.reason());
    }
}
