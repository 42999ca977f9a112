package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ChatTemplate;
import io.qwen4j.Message;
import io.qwen4j.Tokenizer;
import io.qwen4j.tinyqwen.TinyQwen;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PassKeyPromptsTest {
    private static final String KEY = "40719";

    private final Tokenizer tokenizer = Tokenizer.load(TinyQwen.directory());
    private final ChatTemplate template = ChatTemplate.load(TinyQwen.directory());
    private final PassKeyPrompts prompts = new PassKeyPrompts(tokenizer, template);

    @Test
    void promptsHaveTheLengthAskedFor() {
        Random random = new Random(3);
        int fewest = prompts.fewestTokens();
        for (int tokens = fewest; tokens < fewest + 400; tokens++) {
            PassKeyPrompts.Prompt prompt = prompts.write(tokens, random.nextDouble(), KEY, random);
            int length = tokenizer.encode(template.render(List.of(Message.user(prompt.text())), List.of(), true)).length;
            assertEquals(length, prompt.tokens());
            assertTrue(length <= tokens, length + " of " + tokens);
            assertTrue(tokens < fewest + 60 || length == tokens, length + " of " + tokens);
        }
        assertEquals(20_000, prompts.write(20_000, 0.5, KEY, random).tokens());
        assertThrows(IllegalArgumentException.class, () -> prompts.write(fewest - 1, 0.5, KEY, random));
    }

    @Test
    void theKeyStandsOnceWhereItWasAskedFor() {
        for (double depth : new double[] {0, 0.25, 0.5, 1}) {
            String text = prompts.write(3000, depth, KEY, new Random(5)).text();
            int begin = text.indexOf('\n') + 1;
            int end = text.lastIndexOf('\n');
            int at = text.indexOf("The pass key is " + KEY);
            assertTrue(at >= 0, text);
            assertEquals(text.indexOf(KEY), text.lastIndexOf(KEY));
            assertEquals(depth, (at - begin) / (double) (end - begin), 0.02, "depth " + depth);
        }
    }

    @Test
    void aKeyIsFoundAsANumberOfItsOwn() {
        assertTrue(PassKeyCommand.holds("The pass key is 40719.", KEY));
        assertTrue(PassKeyCommand.holds("40719", KEY));
        assertFalse(PassKeyCommand.holds("140719", KEY));
        assertFalse(PassKeyCommand.holds("4071 9", KEY));
    }
}
