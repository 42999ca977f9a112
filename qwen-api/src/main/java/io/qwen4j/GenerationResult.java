package io.qwen4j;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A whole answer.
 *
 * @param text the text
 * @param tokens the token ids, the end token included
 * @param toolCalls the calls of tools
 * @param logProbabilities one entry for each token where the request asked for it, else empty
 * @param finishReason why it ended
 * @param stop the stop string that ended it, or null
 * @param usage tokens
 * @param timings times
 */
public record GenerationResult(
        String text,
        List<Integer> tokens,
        List<ToolCall> toolCalls,
        List<TokenLogProbability> logProbabilities,
        FinishReason finishReason,
        @Nullable String stop,
        Usage usage,
        Timings timings) {
    /** Copies the lists. */
    public GenerationResult {
        tokens = List.copyOf(tokens);
        toolCalls = List.copyOf(toolCalls);
        logProbabilities = List.copyOf(logProbabilities);
    }
}
