package io.qwen4j.tool;

import io.qwen4j.GenerationOptions;
import io.qwen4j.SamplingOptions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The options that say how an answer is generated. */
final class SamplingFlags {
    static final List<Option> OPTIONS = List.of(
            Option.value("--max-tokens", "N", "most tokens of an answer"),
            Option.flag("--greedy", "take the most probable token, without penalties"),
            Option.value("--temperature", "X", "divide the logits; 0 is greedy"),
            Option.value("--top-k", "N", "keep the N most probable tokens; 0 keeps all"),
            Option.value("--top-p", "X", "keep the most probable tokens up to this sum; 1 keeps all"),
            Option.value("--min-p", "X", "keep tokens at least this fraction as probable as the best"),
            Option.value("--typical-p", "X", "keep the most typical tokens up to this sum; 1 keeps all"),
            Option.value("--repetition-penalty", "X", "weaken tokens of prompt and answer; 1 changes nothing"),
            Option.value("--presence-penalty", "X", "weaken tokens of the answer"),
            Option.value("--frequency-penalty", "X", "weaken tokens of the answer, each time more"),
            Option.value("--logit-bias", "ID=X[,ID=X]", "add to the logits of tokens; -inf forbids one"),
            Option.value("--seed", "S", "start of the random numbers"),
            Option.value("--stop", "TEXT", "end the answer before this text (repeatable)"),
            Option.value("--prompt-lookup", "K", "compute up to K tokens ahead where text repeats; 0 to 16 (default 0)"));

    private SamplingFlags() {}

    /**
     * The options over the model's own sampling.
     *
     * @param defaultMaxTokens the bound where none is given; 0 for none but the context
     */
    static GenerationOptions options(Arguments arguments, SamplingOptions defaults, int defaultMaxTokens) {
        try {
            return GenerationOptions.builder()
                    .sampling(sampling(arguments, defaults))
                    .maxTokens(arguments.integer("--max-tokens", 1, defaultMaxTokens))
                    .stop(arguments.all("--stop"))
                    .promptLookup(arguments.integer("--prompt-lookup", 0, 0))
                    .build();
        } catch (IllegalArgumentException e) {
            throw new UsageException(e.getMessage());
        }
    }

    /** Checks the values before a model is loaded for them. */
    static void check(Arguments arguments) {
        options(arguments, SamplingOptions.GREEDY, 0);
    }

    private static SamplingOptions sampling(Arguments arguments, SamplingOptions defaults) {
        SamplingOptions.Builder sampling = (arguments.has("--greedy") ? SamplingOptions.GREEDY : defaults).toBuilder();
        Float value = arguments.number("--temperature");
        if (value != null) {
            if (arguments.has("--greedy") && value != 0) {
                throw new UsageException("--greedy and --temperature exclude each other");
            }
            sampling.temperature(value);
        }
        if ((value = arguments.number("--top-p")) != null) {
            sampling.topP(value);
        }
        if ((value = arguments.number("--min-p")) != null) {
            sampling.minP(value);
        }
        if ((value = arguments.number("--typical-p")) != null) {
            sampling.typicalP(value);
        }
        if ((value = arguments.number("--repetition-penalty")) != null) {
            sampling.repetitionPenalty(value);
        }
        if ((value = arguments.number("--presence-penalty")) != null) {
            sampling.presencePenalty(value);
        }
        if ((value = arguments.number("--frequency-penalty")) != null) {
            sampling.frequencyPenalty(value);
        }
        if (arguments.has("--top-k")) {
            sampling.topK(arguments.integer("--top-k", 0, 0));
        }
        if (arguments.has("--seed")) {
            sampling.seed(arguments.longInteger("--seed"));
        }
        if (arguments.has("--logit-bias")) {
            sampling.logitBias(logitBias(arguments.all("--logit-bias")));
        }
        return sampling.build();
    }

    private static Map<Integer, Float> logitBias(List<String> lists) {
        Map<Integer, Float> bias = new HashMap<>();
        for (String list : lists) {
            for (String pair : list.split(",")) {
                int equals = pair.indexOf('=');
                if (equals < 0) {
                    throw Arguments.wrong("--logit-bias", "ID=NUMBER", pair);
                }
                String number = pair.substring(equals + 1).strip();
                float value = number.equals("-inf") ? Float.NEGATIVE_INFINITY : Arguments.number("--logit-bias", number);
                bias.put(TokenIds.parse("--logit-bias", pair.substring(0, equals)), value);
            }
        }
        return bias;
    }
}
