package io.qwen4j.core.engine;

import io.qwen4j.ChatTemplate;
import io.qwen4j.EngineStats;
import io.qwen4j.Message;
import io.qwen4j.ModelClosedException;
import io.qwen4j.ModelInfo;
import io.qwen4j.RenderedPrompt;
import io.qwen4j.RewardModel;
import io.qwen4j.TemplateException;
import io.qwen4j.Tokenizer;
import io.qwen4j.core.chat.JinjaChatTemplate;
import io.qwen4j.core.model.QwenConfig.Head;
import java.lang.ref.Reference;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** A reward model in the hands of users: checks what they ask and passes it to the engine. */
final class LoadedRewardModel implements RewardModel {
    /** The added token behind each step. */
    static final String STEP_END = "<extra_0>";

    private final Kind kind;
    private final ModelInfo info;
    private final ModelTexts texts;
    private final Engine engine;
    private final int maxConcurrent;
    private final Unclosed closing;

    LoadedRewardModel(Head head, ModelInfo info, ModelTexts texts, Engine engine, int maxConcurrent) {
        kind = head == Head.REWARD ? Kind.OUTCOME : Kind.PROCESS;
        this.info = info;
        this.texts = texts;
        this.engine = engine;
        this.maxConcurrent = maxConcurrent;
        closing = Unclosed.watch(this, engine, info.name());
    }

    private void checkOpen() {
        if (closing.closed()) {
            throw new ModelClosedException();
        }
    }

    private void check(Kind needed) {
        checkOpen();
        if (kind != needed) {
            throw new UnsupportedOperationException("the model " + info.name() + (kind == Kind.PROCESS
                    ? " judges the steps of an answer, not a conversation; use scoreSteps"
                    : " judges a conversation, not the steps of an answer; use score"));
        }
    }

    @Override
    public Kind kind() {
        checkOpen();
        return kind;
    }

    @Override
    public double score(List<Message> conversation) {
        return scoreAll(List.of(conversation)).get(0);
    }

    @Override
    public double score(int[] tokens) {
        check(Kind.OUTCOME);
        return scorePrompts(List.of(tokens.clone())).get(0);
    }

    @Override
    public List<Double> scoreAll(List<? extends List<Message>> conversations) {
        check(Kind.OUTCOME);
        List<int[]> prompts = new ArrayList<>(conversations.size());
        for (List<Message> conversation : conversations) {
            prompts.add(tokenizer().encode(chatTemplate().render(List.copyOf(conversation), List.of(), false)));
        }
        return scorePrompts(prompts);
    }

    private List<Double> scorePrompts(List<int[]> prompts) {
        prompts.forEach(engine::check);
        try {
            return JobWindow.run(
                            engine, prompts, maxConcurrent, ids -> new RewardJob(ids, new int[] {ids.length - 1}, engine.outputs()))
                    .stream()
                    .map(outputs -> (double) outputs[0])
                    .toList();
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    @Override
    public List<Double> scoreSteps(List<Message> conversation, List<String> steps) {
        check(Kind.PROCESS);
        List<String> given = List.copyOf(steps);
        if (given.isEmpty()) {
            throw new IllegalArgumentException("there are no steps, expected at least one");
        }
        int empty = given.indexOf("");
        if (empty >= 0) {
            throw new IllegalArgumentException("step " + empty + " of " + given.size() + " is empty");
        }
        int[] ids = tokenizer().encode(render(List.copyOf(conversation), given));
        int end = tokenizer().addedToken(STEP_END).orElseThrow();
        int[] ends = IntStream.range(0, ids.length).filter(i -> ids[i] == end).toArray();
        if (ends.length != given.size()) {
            throw new TemplateException(
                    "the chat template makes " + ends.length + " tokens " + STEP_END + " of an answer of " + given.size() + " steps");
        }
        engine.check(ids);
        return judge(ids, ends);
    }

    private RenderedPrompt render(List<Message> conversation, List<String> steps) {
        return ((JinjaChatTemplate) chatTemplate()).renderSteps(conversation, steps, STEP_END);
    }

    @Override
    public List<Double> scoreSteps(int[] tokens, int[] ends) {
        check(Kind.PROCESS);
        int[] ids = tokens.clone();
        engine.check(ids);
        int[] positions = ends.clone();
        if (positions.length == 0) {
            throw new IllegalArgumentException("there are no ends of steps, expected at least one");
        }
        for (int i = 0; i < positions.length; i++) {
            int least = i == 0 ? 0 : positions[i - 1] + 1;
            if (positions[i] < least || positions[i] >= ids.length) {
                throw new IllegalArgumentException(
                        "end " + i + " is token " + positions[i] + ", expected " + least + " to " + (ids.length - 1));
            }
        }
        return judge(ids, positions);
    }

    private List<Double> judge(int[] ids, int[] ends) {
        try {
            float[] logits = engine.run(new RewardJob(ids, ends, engine.outputs())).await(engine::stop);
            List<Double> probabilities = new ArrayList<>(ends.length);
            for (int i = 0; i < ends.length; i++) {
                // Softmax of two values.
                probabilities.add(1 / (1 + Math.exp((double) logits[2 * i] - logits[2 * i + 1])));
            }
            return List.copyOf(probabilities);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    @Override
    public ModelInfo info() {
        checkOpen();
        return info;
    }

    @Override
    public Tokenizer tokenizer() {
        checkOpen();
        if (texts.tokenizer() == null) {
            throw new IllegalStateException("model " + info.name() + " has no tokenizer files");
        }
        return texts.tokenizer();
    }

    @Override
    public ChatTemplate chatTemplate() {
        checkOpen();
        if (texts.template() == null) {
            throw texts.templateError() == null ? new IllegalStateException("the model has no chat template") : texts.templateError();
        }
        return texts.template();
    }

    @Override
    public EngineStats stats() {
        checkOpen();
        return engine.stats();
    }

    @Override
    public void close() {
        closing.markClosed();
        engine.close();
        Reference.reachabilityFence(this);
    }

    @Override
    public String toString() {
        return "RewardModel[" + info.name() + ", " + info.backend() + "]";
    }
}
