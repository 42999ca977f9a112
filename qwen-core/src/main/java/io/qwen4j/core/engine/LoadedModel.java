package io.qwen4j.core.engine;

import io.qwen4j.ChatTemplate;
import io.qwen4j.ContextOverflowException;
import io.qwen4j.ControlTokens;
import io.qwen4j.EngineStats;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.LogitsConsumer;
import io.qwen4j.ModelClosedException;
import io.qwen4j.ModelInfo;
import io.qwen4j.Pooling;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Score;
import io.qwen4j.Tokenizer;
import java.lang.ref.Reference;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Objects;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** A model in the hands of users: checks what they ask and passes it to the engine. */
final class LoadedModel implements QwenModel {
    // Rows of logits of one step of a score or a request for logits: 16 rows of the largest vocabulary are 10 MB.
    private static final int LOGITS_SLICE = 16;
    private static final BitSet NO_END = new BitSet();

    private final Parts parts;
    private final Engine engine;
    private final BitSet endTokens;
    private final Unclosed closing;

    /**
     * What a model is made of beside its engine.
     *
     * @param tokenizer null if the model has no tokenizer files
     * @param beginning the token with which a text begins, if the tokenizer's files ask for one; chat templates write it themselves
     * @param template the chat template, or null if it cannot be used
     * @param templateError why the template cannot be used, or null
     * @param maxConcurrent most requests computed at a time
     */
    record Parts(
            ModelInfo info,
            SamplingOptions defaultSampling,
            @Nullable Tokenizer tokenizer,
            OptionalInt beginning,
            @Nullable ChatTemplate template,
            @Nullable RuntimeException templateError,
            ChooserFactory choosers,
            TextFactory texts,
            int maxConcurrent) {}

    /** Makes the choosers of tokens. */
    interface ChooserFactory {
        /** Makes one for a request; {@code prompt} is not changed and not kept after the first token. */
        TokenChooser make(SamplingOptions sampling, int[] prompt);
    }

    /** Makes what turns tokens into text. */
    interface TextFactory {
        /** Makes one for an answer; {@code tools} says whether calls of tools become events. */
        AnswerText make(Tokenizer tokenizer, List<String> stop, boolean tools);
    }

    LoadedModel(Parts parts, Engine engine) {
        this.parts = parts;
        this.engine = engine;
        endTokens = new BitSet();
        parts.info.endTokens().forEach(endTokens::set);
        closing = Unclosed.watch(this, engine, parts.info.name());
    }

    private void checkOpen() {
        if (closing.closed()) {
            throw new ModelClosedException();
        }
    }

    @Override
    public Generation submit(GenerationRequest request) {
        checkOpen();
        GenerationOptions options = request.options();
        SamplingOptions sampling = options.sampling() == null ? parts.defaultSampling : options.sampling();
        int rows = engine.vocabularyRows();
        sampling.logitBias().keySet().forEach(id -> {
            if (id >= rows) {
                throw new IllegalArgumentException("logitBias has token " + id + ", the model has the rows 0 to " + (rows - 1));
            }
        });
        int[] prompt = prompt(request);
        checkPrompt(prompt);
        boolean tools = request instanceof GenerationRequest.Chat chat && !chat.tools().isEmpty();
        AnswerText text = AnswerText.NONE;
        if (parts.tokenizer != null) {
            text = parts.texts.make(parts.tokenizer, options.stop(), tools);
        } else if (!options.stop().isEmpty()) {
            throw new IllegalArgumentException("stop strings need a tokenizer, and the model has no tokenizer files");
        }
        return engine.generate(new Engine.Request(prompt, options.maxTokens(), options.ignoreEndTokens() ? NO_END : endTokens,
                options.logProbabilities(), options.promptLookup(), parts.choosers.make(sampling, prompt), text, this));
    }

    private int[] prompt(GenerationRequest request) {
        if (request instanceof GenerationRequest.Chat chat) {
            return tokenizer().encode(chatTemplate().render(chat.messages(), chat.tools(), true));
        }
        if (request instanceof GenerationRequest.Text text) {
            return encode(text.prompt(), text.controlTokens());
        }
        List<Integer> ids = ((GenerationRequest.Tokens) request).prompt();
        if (ids.size() > engine.maxLength()) {
            throw new ContextOverflowException(ids.size(), engine.maxLength());
        }
        return ids.stream().mapToInt(i -> i).toArray();
    }

    /** Begins with the model's beginning token, exactly once, where there is one. */
    private int[] encode(String text, ControlTokens controlTokens) {
        int[] ids = tokenizer().encode(text, controlTokens);
        if (parts.beginning.isEmpty() || ids.length == 0 || ids[0] == parts.beginning.getAsInt()) {
            return ids;
        }
        int[] begun = new int[ids.length + 1];
        begun[0] = parts.beginning.getAsInt();
        System.arraycopy(ids, 0, begun, 1, ids.length);
        return begun;
    }

    private void checkPrompt(int[] ids) {
        engine.check(ids);
    }

    @Override
    public List<float[]> embed(List<String> texts, Pooling pooling) {
        checkOpen();
        Objects.requireNonNull(pooling, "pooling");
        List<int[]> prompts = new ArrayList<>(texts.size());
        for (String text : texts) {
            int[] ids = encode(text, ControlTokens.RECOGNIZE);
            checkPrompt(ids);
            prompts.add(ids);
        }
        try {
            return JobWindow.run(
                    engine, prompts, parts.maxConcurrent, ids -> new EmbedJob(ids, pooling, engine.hiddenSize()));
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    @Override
    public Score score(String text) {
        return score(text, ControlTokens.RECOGNIZE);
    }

    @Override
    public Score score(String text, ControlTokens controlTokens) {
        checkOpen();
        return score(encode(text, controlTokens));
    }

    @Override
    public Score score(int[] tokens) {
        checkOpen();
        int[] ids = tokens.clone();
        checkPrompt(ids);
        if (ids.length == 1) {
            return new Score(List.of(ids[0]), List.of());
        }
        try {
            return engine.run(new ScoreJob(ids, engine.probabilities(), LOGITS_SLICE)).await(engine::stop);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    @Override
    public List<float[]> nextLogProbabilities(List<int[]> prompts, int[] candidates) {
        checkOpen();
        if (prompts.isEmpty()) {
            return List.of();
        }
        List<int[]> copies = new ArrayList<>(prompts.size());
        for (int[] prompt : prompts) {
            int[] ids = prompt.clone();
            checkPrompt(ids);
            copies.add(ids);
        }
        int[] asked = candidates.clone();
        for (int id : asked) {
            if (id < 0 || id >= engine.vocabularyRows()) {
                throw new IllegalArgumentException(
                        "candidate " + id + " is no token; the model has the rows 0 to " + (engine.vocabularyRows() - 1));
            }
        }
        try {
            return engine.run(new NextTokenJob(copies, asked, engine.probabilities())).await(engine::stop);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    @Override
    public void logits(int[] tokens, LogitsConsumer consumer) {
        checkOpen();
        Objects.requireNonNull(consumer, "consumer");
        int[] ids = tokens.clone();
        checkPrompt(ids);
        try {
            engine.run(new LogitsJob(ids, consumer, engine.callbacks(), engine::wake, engine::stop, engine.vocabularyRows(), LOGITS_SLICE))
                    .await(engine::stop);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    @Override
    public ModelInfo info() {
        checkOpen();
        return parts.info;
    }

    @Override
    public SamplingOptions defaultSampling() {
        checkOpen();
        return parts.defaultSampling;
    }

    @Override
    public Tokenizer tokenizer() {
        checkOpen();
        if (parts.tokenizer == null) {
            throw new IllegalStateException("model " + parts.info.name() + " has no tokenizer files");
        }
        return parts.tokenizer;
    }

    @Override
    public ChatTemplate chatTemplate() {
        checkOpen();
        if (parts.template == null) {
            throw parts.templateError == null ? new IllegalStateException("the model has no chat template") : parts.templateError;
        }
        return parts.template;
    }

    @Override
    public EngineStats stats() {
        checkOpen();
        return engine.stats();
    }

    /** How often a running request had to give up its pages. */
    long preemptions() {
        return engine.preemptions();
    }

    /** The engine thread, for measuring. */
    Thread engineThread() {
        return engine.thread();
    }

    @Override
    public void close() {
        closing.markClosed();
        engine.close();
        Reference.reachabilityFence(this);
    }

    @Override
    public String toString() {
        return "QwenModel[" + parts.info.name() + ", " + parts.info.backend() + "]";
    }
}
