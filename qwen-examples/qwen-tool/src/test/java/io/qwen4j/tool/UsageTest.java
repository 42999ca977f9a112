package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class UsageTest {
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            frobnicate                                          | unknown command 'frobnicate'
            help frobnicate                                     | unknown command 'frobnicate'
            generate                                            | found none
            generate --prompt a --ids 1                         | found several
            generate --prompt                                   | --prompt needs a value
            generate --prompt a --frob                          | unknown option --frob
            generate --prompt a --temperatures 1                | did you mean --temperature?
            generate --prompt a --temperature hot               | --temperature must be a number
            generate --prompt a --temperature nan               | --temperature must be a number
            generate --prompt a --temperature -1                | temperature must be 0.0 to 100.0
            generate --prompt a --greedy --temperature 1        | exclude each other
            generate --prompt a --top-p 0                       | topP must be
            generate --prompt a --top-k -1                      | --top-k must be a whole number from 0
            generate --prompt a --max-tokens 0                  | --max-tokens must be a whole number from 1
            generate --prompt a --max-tokens 1e3                | --max-tokens must be a whole number
            generate --prompt a --seed x                        | --seed must be a whole number
            generate --prompt a --logit-bias 5                  | --logit-bias must be ID=NUMBER
            generate --prompt a --logit-bias x=1                | --logit-bias must be token ids
            generate --prompt a --greedy=yes                    | --greedy takes no value
            generate --ids 1,a                                  | --ids must be token ids
            generate --ids 1,-2                                 | --ids must be token ids
            generate --prompt a --backend gpu                   | --backend must be one of AUTO, JAVA, CPU
            generate --prompt a --isa sse                       | --isa must be one of BASELINE, AVX2, AVX512, VNNI
            generate --prompt a --threads 0                     | --threads must be a whole number from 1
            generate --prompt a --threads 9999                  | threads must be 0 to 1024
            generate --prompt a --context 0                     | --context must be a whole number from 1
            generate --prompt a --quantization Q9               | --quantization must be one of F32
            generate --prompt a --kv-cache q8                   | --kv-cache must be one of F32, F16, BF16, INT8
            generate --prompt a --yarn x                        | --yarn must be a number
            generate --prompt a --yarn 0                        | --yarn must be a number above 0
            generate --prompt a --yarn -2                       | --yarn must be a number above 0 and below 1000000, found '-2'
            generate --prompt a --yarn nan                      | --yarn must be a number above 0
            generate --prompt a --yarn 1e6                      | --yarn must be a number above 0 and below 1000000
            generate --prompt a --yarn-mode on                  | --yarn-mode must be one of STATIC, AUTO, OFF
            generate --prompt a --yarn 4 --yarn-mode off        | exclude each other
            generate --prompt a --yarn-original 9               | --yarn-original needs --yarn
            generate --prompt a --yarn 4 --yarn-original 0      | --yarn-original must be a number of tokens from 1, such as 32K
            generate --prompt a --yarn 4 --yarn-original 9999999K | --yarn-original must be a number of tokens
            generate --prompt a --yarn 4 --yarn-original 1.5    | --yarn-original must be a number of tokens
            generate --prompt a --dual-chunk on                 | --dual-chunk must be S,W or S,W,N in tokens, such as 24K,2K, or off
            generate --prompt a --dual-chunk 5                  | --dual-chunk must be S,W
            generate --prompt a --dual-chunk 0,0                | --dual-chunk must be off, or begin with a chunk size above 0
            generate --prompt a --dual-chunk 8,8                | --dual-chunk: localSize must be 0 to 7
            generate --prompt a --dual-chunk 9999999K,1         | --dual-chunk must be of sizes up to 2147483647, found '9999999K,1'
            passkey                                             | --lengths is missing
            passkey --lengths 1K,x                              | --lengths must be numbers of tokens such as 512,4K
            passkey --lengths 0                                 | --lengths must be numbers of tokens
            passkey --lengths 1K --depths 0                     | --depths must be a whole number from 1
            passkey --lengths 1K --depths 102                   | --depths must be at most 101
            passkey --lengths 1K --trials 99999                 | at most 10000 are allowed
            passkey --lengths 1K --trials 0                     | --trials must be a whole number from 1
            passkey --lengths 1K --training-length 8            | --training-length must be a whole number from 16
            passkey --lengths 1K --context 512                  | --lengths holds 1024, but --context is 512
            passkey --lengths 1K --modes yarn --yarn-mode off   | --yarn-mode off and mode yarn exclude each other
            passkey --lengths 1K --modes plain,dual-chunk --dual-chunk off | --dual-chunk off and mode dual-chunk exclude each other
            passkey --lengths 1K --modes plain,ntk              | --modes must be some of given, plain, yarn
            generate a b --prompt x                             | 'b' is one argument too many
            tokenize --decode --plain                           | --plain is for encoding
            tokenize tiny-qwen other                            | 'other' is one argument too many
            logits --output f                                   | --ids is missing
            logits --ids 1                                      | --output is missing
            perplexity                                          | --file is missing
            quantize --type Q8_0 --output f                     | MODEL is missing
            quantize tiny-qwen --output f                       | --type is missing
            quantize tiny-qwen --type Q8_0                      | --output is missing
            quantize tiny-qwen --type Q3 --output f             | --type must be one of F32, F16, BF16, Q4_0, Q4_1
            synthesize --type Q8_0 --output f                   | --shape is missing
            synthesize --shape 0.5B --output f                  | --type is missing
            synthesize --shape 0.5B --type Q8_0                 | --output is missing
            synthesize --shape 4B --type Q8_0 --output f        | --shape must be one of 0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B, A2.7B-MoE, 57B-A14B-MoE, found '4B'
            synthesize --shape 7B --type Q9 --output f          | --type must be one of F32
            synthesize --shape 7B --type Q8_0 --output f --seed x | --seed must be a whole number
            synthesize m --shape 7B --type Q8_0 --output f      | 'm' is one argument too many
            bench --prompt-tokens 0 --generate-tokens 0         | nothing to measure
            bench --repetitions 0                               | --repetitions must be a whole number from 1
            bench --sequences 0                                 | --sequences must be a whole number from 1
            bench --sequences 257                               | --sequences must be at most 256
            bench --sparse --prompt-tokens 16K,,1               | --prompt-tokens must be numbers of tokens such as 512,16K,64K
            bench --sparse --prompt-tokens 0                    | --prompt-tokens must be numbers of tokens
            bench --sparse --prompt-tokens 9999999K             | --prompt-tokens must be numbers of tokens
            bench --sparse --follow both                        | --follow must be dense or sparse
            bench --follow dense                                | --follow needs --sparse
            bench --file t                                      | --file needs --sparse
            generate --sparse-threshold 5                       | --sparse-threshold needs --sparse-prefill
            generate --sparse-prefill 0,100                     | --sparse-prefill: columns must be
            generate --sparse-prefill auto --sparse-threshold x | --sparse-threshold must be a whole number
            calibrate-sparse --output b                         | --file is missing
            calibrate-sparse --file t                           | --output is missing
            calibrate-sparse --file t --output b --recall 1     | --recall must be a number above 0 and below 1, found '1'
            calibrate-sparse --file t --output b --tokens 0     | --tokens must be a whole number from 1
            filter --output g --score perplexity                | --input is missing
            filter --input f --score perplexity                 | --output is missing
            filter --input f --output g                         | --dimension is missing
            filter --input f --output g --score good            | --score must be instruct, perplexity or reward, found 'good'
            filter --input f --output g --dimension a           | --dimension must be NAME=DESCRIPTION, found 'a'
            filter --input f --output g --dimension mean=x      | the name of a dimension must be
            filter --input f --output g --dimension a=x --dimension a=y | dimension a occurs twice
            filter --input f --output g --dimension a=x --ratings 1-10 | --ratings must be two digits such as 1-5, found '1-10'
            filter --input f --output g --dimension a=x --ratings 5-1 | ratings must be digits, the lowest below the highest
            filter --input f --output g --dimension a=x --min b=1 | --min and --max must be of mean or one of a, found 'b'
            filter --input f --output g --dimension a=x --min 1,x | --min must be numbers such as 3.5 or facts=3,style=2.5
            filter --input f --output g --dimension a=x --min nan | --min must be numbers
            filter --input f --output g --dimension a=x --min 3 --max 2 | the threshold of mean must be a range, found 3.0 to 2.0
            filter --input f --output g --score perplexity --dimension a=x | --dimension is for --score instruct
            filter --input f --output g --score reward --ratings 1-5 | --ratings is for --score instruct
            filter --input f --output g --score reward --min facts=1 | --min and --max must be of mean or one of reward, found 'facts'
            filter --input f --output g --score perplexity --message a | --message is for --score reward
            filter --input f --output g --score perplexity --field quality | field and scoreField must differ
            filter --input f --output g --score perplexity --max-line 9 | --max-line must be a whole number from 64
            filter --input f --output g --score perplexity --max-tokens 0 | --max-tokens must be a whole number from 1
            filter --input f --output g --score perplexity --in-flight 257 | --in-flight must be at most 256
            filter --input f --output g --score perplexity --on-error no | --on-error must be one of FAIL, SKIP, KEEP
            embed --pooling max                                 | --pooling must be one of MEAN, LAST
            chat --message a --top-p 2                          | topP must be
            info tiny-qwen                                      | 'tiny-qwen' is one argument too many
            reward                                              | MODEL is missing
            reward m --message a                                | --message and --answer need each other
            reward m --answer a                                 | --message and --answer need each other
            reward m --system a                                 | --system needs --message
            reward m n                                          | 'n' is one argument too many
            """)
    void wrongUsageIsStatus2(String line, String expected) {
        String message = Tool.run(line.strip().split(" +")).wrongUsage();
        assertTrue(message.contains(expected), message);
    }

    @Test
    void nothingIsWrongUsageToo() {
        Tool.Result result = Tool.run();
        assertEquals(2, result.status());
        assertEquals("", result.out());
        assertTrue(result.err().startsWith("usage: qwen COMMAND"), result.err());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "chat", "generate", "tokenize", "render", "logits", "perplexity", "inspect", "quantize", "synthesize", "bench", "embed",
                "calibrate-sparse", "passkey", "reward", "filter", "info"
            })
    void everyCommandHasHelp(String command) {
        for (List<String> words : List.of(List.of("help", command), List.of(command, "--help"), List.of(command, "-h"))) {
            String help = Tool.run(words.toArray(String[]::new)).succeeded().out();
            assertTrue(help.startsWith("usage: qwen " + command + " "), help);
            assertTrue(help.contains("--backend auto|java|cpu"), help);
            assertTrue(help.lines().allMatch(line -> line.length() <= 120), help);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"help", "--help", "-h"})
    void overviewNamesEveryCommand(String word) {
        String help = Tool.run(word).succeeded().out();
        Main.COMMANDS.forEach(command -> assertTrue(help.contains("\n  " + command.name() + " "), help));
    }

    @Test
    void tellsItsVersion() {
        String version = Tool.run("--version").succeeded().out();
        assertTrue(version.matches("qwen \\d+\\.\\d+\\.\\d+(-SNAPSHOT)?\n"), version);
    }

    /** Each backend works, or it is said why not. */
    @Test
    void tellsWhatThisMachineHas() {
        String info = Tool.run("info").succeeded().out();
        assertTrue(info.matches("(?s)version  \\d.*\njava     \\d.*"), info);
        assertTrue(info.matches("(?s).*\ncuda     (works|does not work here: \\S.*)\n.*"), info);
        assertTrue(info.matches("(?s).*\ncpu      (works|does not work here: \\S.*)\n.*"), info);
        assertTrue(info.endsWith("\njava     works\n"), info);
        String json = Tool.run("info", "--json").succeeded().out();
        assertTrue(json.startsWith("{\"version\":") && json.contains("{\"name\":\"java\",\"available\":true,\"hardware\":[]}"), json);
    }

    @Test
    void valuesMayFollowAnEqualsSignAndTheLastOneCounts() {
        Arguments parsed = Arguments.parse(
                List.of(Option.value("--a", "X", ""), Option.flag("--b", "")), List.of("--a=1=2", "m", "--b", "--a", "-3", "--", "--b"));
        assertEquals("-3", parsed.text("--a"));
        assertEquals(List.of("1=2", "-3"), parsed.all("--a"));
        assertEquals(List.of("m", "--b"), parsed.operands());
        assertTrue(parsed.has("--b"));
    }
}
