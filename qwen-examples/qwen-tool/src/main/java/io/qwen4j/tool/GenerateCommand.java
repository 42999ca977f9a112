package io.qwen4j.tool;

import io.qwen4j.ControlTokens;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;

/** The continuation of a text or of token ids. */
final class GenerateCommand implements Command {
    /** A base model may never choose an end token. */
    private static final int DEFAULT_MAX_TOKENS = 256;

    @Override
    public String name() {
        return "generate";
    }

    @Override
    public String synopsis() {
        return "MODEL (--prompt TEXT | --prompt-file FILE | --ids 1,2,3) [OPTIONS]";
    }

    @Override
    public String summary() {
        return "Continue a text or a list of token ids";
    }

    @Override
    public String details() {
        return "Standard output is the continuation as it comes, with nothing added, or with --print-ids its token ids with "
                + "spaces between, the end token included, on one line. Control tokens in the prompt are recognised unless "
                + "--plain; no chat template is applied (see chat). --ids needs no tokenizer files; without them ids are printed."
                + " Sampling is the model's own where no option changes it.";
    }

    @Override
    public List<Option> options() {
        List<Option> options = new ArrayList<>(List.of(
                Option.value("--prompt", "TEXT", "the text to continue"),
                Option.value("--prompt-file", "FILE", "a file with the text to continue; - is standard input"),
                Option.value("--ids", "1,2,3", "the token ids to continue"),
                Option.flag("--print-ids", "print token ids instead of text"),
                Option.flag("--plain", "take the spelling of control tokens in the prompt as ordinary text"),
                Option.flag("--ignore-end", "go on after end tokens")));
        options.addAll(SamplingFlags.OPTIONS);
        options.set(6, Option.value("--max-tokens", "N", "most tokens of the continuation (default " + DEFAULT_MAX_TOKENS + ")"));
        return options;
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        long prompts = Stream.of("--prompt", "--prompt-file", "--ids").filter(arguments::has).count();
        if (prompts != 1) {
            throw new UsageException("expected one of --prompt, --prompt-file and --ids, found " + (prompts == 0 ? "none" : "several"));
        }
        SamplingFlags.check(arguments);
        String ids = arguments.text("--ids");
        List<Integer> tokens = ids == null ? List.of() : TokenIds.parseList("--ids", ids);
        String prompt = ids == null ? prompt(arguments, streams) : "";
        try (QwenModel model = CommonFlags.load(arguments, streams)) {
            GenerationOptions sampling = SamplingFlags.options(arguments, model.defaultSampling(), DEFAULT_MAX_TOKENS);
            GenerationOptions options = GenerationOptions.builder()
                    .sampling(sampling.sampling())
                    .maxTokens(sampling.maxTokens())
                    .stop(sampling.stop())
                    .promptLookup(sampling.promptLookup())
                    .ignoreEndTokens(arguments.has("--ignore-end"))
                    .build();
            ControlTokens control = arguments.has("--plain") ? ControlTokens.PLAIN : ControlTokens.RECOGNIZE;
            GenerationRequest request = ids == null
                    ? new GenerationRequest.Text(prompt, control, options)
                    : new GenerationRequest.Tokens(tokens, options);
            try (Generation generation = model.submit(request)) {
                if (arguments.has("--print-ids") || !hasTokenizer(model)) {
                    printIds(generation, streams.out());
                } else {
                    printText(generation, streams.out());
                }
            }
        }
    }

    private static String prompt(Arguments arguments, Streams streams) throws IOException {
        String prompt = arguments.text("--prompt");
        if (prompt != null) {
            return prompt;
        }
        return TextFile.read(arguments.requiredText("--prompt-file"), streams);
    }

    private static boolean hasTokenizer(QwenModel model) {
        try {
            model.tokenizer();
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }

    private static void printIds(Generation generation, Output out) throws IOException {
        String separator = "";
        for (Iterator<GenerationEvent> events = generation.events(); events.hasNext(); ) {
            if (events.next() instanceof GenerationEvent.Token token) {
                out.print(separator + token.id());
                out.flush();
                separator = " ";
            }
        }
        out.println("");
    }

    private static void printText(Generation generation, Output out) throws IOException {
        String last = "";
        for (Iterator<String> text = generation.text().iterator(); text.hasNext(); ) {
            last = text.next();
            out.print(last);
            out.flush();
        }
        if (out.isTerminal() && !last.endsWith("\n")) {
            out.println("");
        }
    }
}
