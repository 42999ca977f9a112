package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Ids of the reference. */
class GoldenTest {
    private final BpeTokenizer tokenizer = RealTokenizer.INSTANCE;

    /** The second file is random texts of all scripts with the ids of the tokenizers library 0.21. */
    @ParameterizedTest
    @CsvSource({"tokenizer-cases.json.gz, 314", "hugging-face-cases.json.gz, 1500"})
    void goldenCases(String name, int count) throws Exception {
        JsonNode cases = RealTokenizer.cases(name);
        assertEquals(count, cases.size());
        for (JsonNode one : cases) {
            String text = one.get("text").textValue();
            assertArrayEquals(RealTokenizer.ids(one.get("ids")), tokenizer.encode(text), () -> one.toString());
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '=',
            ignoreLeadingAndTrailingWhitespace = false,
            value = {
                "Hello world=9707 1879",
                " Hello world=21927 1879",
                "\\n=198",
                "\\n\\n=271",
                "' '=220",
                "12345=16 17 18 19 20",
                "I\\u0027LL go=40 6 4086 728",
                "don\\u2019t=15007 1405",
                "  two  spaces=220 1378 220 12621",
                "   \\n\\t x=5872 197 856",
                "\\u00e9=963",
                "e\\u0301=963",
                "\\u00e9 vs e\\u0301=963 6165 3958",
                "\\u4f60\\u597d\\uff0c\\u4e16\\u754c=108386 3837 99489",
                "\\ud83d\\udc4d\\ud83c\\udffd=144349 145375",
                "a\\r\\n\\r\\n b=64 871 293",
                "x \\n y=87 715 379",
                "a\\u00a0b=64 4102 65",
                "\\u3000x=22441 87",
                "\\t\\tif=197 743",
                "\\ud55c\\uad6d\\uc5b4=23573 124785 31079",
                "\\uff11\\uff12 \\u00bd \\u4e2d\\u65871=20109 24918 220 26062 72858 16744 16",
                " <|im_end|>=220 151645",
                "<|im_en=27 91 318 6205",
                "<think>\\n=13708 766 397",
                "<|fim_prefix|>def f(x):\\n    <|fim_suffix|>\\n    return y<|fim_middle|>"
                        + "=151659 750 282 2075 982 257 151661 198 262 470 379 151660",
                "<|im_start|>user\\nHello world!<|im_end|>\\n<|im_start|>assistant\\nHow are you?<|im_end|>\\n"
                        + "=151644 872 198 9707 1879 0 151645 198 151644 77091 198 4340 525 498 30 151645 198",
            })
    void vectors(String escaped, String ids) {
        String text = unescape(escaped);
        int[] expected = Arrays.stream(ids.split(" ")).mapToInt(Integer::parseInt).toArray();
        assertArrayEquals(expected, tokenizer.encode(text));
    }

    private static String unescape(String text) {
        var out = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            if (text.charAt(i) != '\\') {
                out.append(text.charAt(i));
                continue;
            }
            switch (text.charAt(++i)) {
                case 'n' -> out.append('\n');
                case 'r' -> out.append('\r');
                case 't' -> out.append('\t');
                default -> {
                    out.append((char) Integer.parseInt(text, i + 1, i + 5, 16));
                    i += 4;
                }
            }
        }
        return out.toString();
    }

    @Test
    void rolesAndSizes() {
        assertEquals(151_665, tokenizer.vocabularySize());
        assertEquals(
                new SpecialTokens(OptionalInt.empty(), OptionalInt.of(151_645), OptionalInt.of(151_643), false), tokenizer.specialTokens());
        assertEquals(OptionalInt.of(151_657), tokenizer.addedToken("<tool_call>"));
        assertEquals(OptionalInt.empty(), tokenizer.addedToken("<think>"));
        assertTrue(tokenizer.isSpecial(151_645));
        assertEquals(false, tokenizer.isSpecial(151_657));
    }
}
