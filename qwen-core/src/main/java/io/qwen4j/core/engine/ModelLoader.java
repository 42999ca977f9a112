package io.qwen4j.core.engine;

import io.qwen4j.ChatTemplate;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelInfo;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.TemplateException;
import io.qwen4j.Tokenizer;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.chat.TemplateLoader;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.format.gguf.GgufCheckpoint;
import io.qwen4j.core.model.ChosenAttention;
import io.qwen4j.core.model.LayerAttention;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.model.QwenWeights;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.FreeList;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.tokenizer.BpeTokenizer;
import io.qwen4j.core.tokenizer.TokenizerLoader;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Loads a model: opens its files, chooses a backend, checks the memory, takes the weights, starts the engine. What fails leaves nothing
 * behind.
 */
public final class ModelLoader {
    private static final Logger LOG = LoggerFactory.getLogger(ModelLoader.class);
    private static final List<String> END_TOKENS = List.of("<|im_end|>", "<|endoftext|>");

    private final Function<Checkpoint, Tokenizer> tokenizers;
    private final Function<Checkpoint, ChatTemplate> templates;
    private final LoadedModel.TextFactory answers;
    private final ChooserMaker choosers;

    /** Makes the factory of choosers of a model. */
    interface ChooserMaker {
        LoadedModel.ChooserFactory make(int vocabularyRows, int nameableRows);
    }

    ModelLoader(
            Function<Checkpoint, Tokenizer> tokenizers,
            Function<Checkpoint, ChatTemplate> templates,
            LoadedModel.TextFactory answers,
            ChooserMaker choosers) {
        this.tokenizers = tokenizers;
        this.templates = templates;
        this.answers = answers;
        this.choosers = choosers;
    }

    /** What a model is made of, whatever its head. */
    private record Loaded(
            QwenConfig config,
            ModelInfo info,
            SamplingOptions sampling,
            ModelTexts texts,
            int nameableRows,
            LoadOptions options,
            Engine engine) {}

    /** Implements {@link QwenModel#load(Path, LoadOptions)}. */
    public static QwenModel open(Path model, LoadOptions options) {
        return standard(options).load(model, options);
    }

    /** Implements {@link RewardModel#load(Path, LoadOptions)}. */
    public static RewardModel openReward(Path model, LoadOptions options) {
        return standard(options).loadReward(model, options);
    }

    private static ModelLoader standard(LoadOptions options) {
        return new ModelLoader(
                checkpoint -> checkpoint instanceof GgufCheckpoint gguf
                        ? TokenizerLoader.of(gguf.metadata(), options.limits())
                        : TokenizerLoader.load(checkpoint.path(), options.limits()),
                checkpoint -> checkpoint instanceof GgufCheckpoint gguf
                        ? TemplateLoader.of(gguf.metadata(), options.limits())
                        : TemplateLoader.load(checkpoint.path(), options.limits()),
                DetokenizedText::new,
                (rows, nameable) -> (sampling, prompt) -> new LazySampler(sampling, rows, nameable, prompt));
    }

    LoadedModel load(Path path, LoadOptions options) {
        return load(path, options, false, this::languageModel);
    }

    LoadedRewardModel loadReward(Path path, LoadOptions options) {
        return load(path, options, true, loaded -> new LoadedRewardModel(
                loaded.config.head(), loaded.info, loaded.texts, loaded.engine, loaded.options.maxConcurrent()));
    }

    private LoadedModel languageModel(Loaded loaded) {
        QwenConfig config = loaded.config;
        Tokenizer tokenizer = loaded.texts.tokenizer();
        LoadedModel.Parts parts = new LoadedModel.Parts(
                loaded.info,
                loaded.sampling,
                tokenizer,
                beginning(tokenizer),
                loaded.texts.template(),
                loaded.texts.templateError(),
                choosers.make(config.vocabularyRows(), loaded.nameableRows),
                answers,
                loaded.options.maxConcurrent());
        return new LoadedModel(parts, loaded.engine);
    }

    private <M> M load(Path path, LoadOptions options, boolean reward, Function<Loaded, M> maker) {
        long begun = System.nanoTime();
        Settings settings = Settings.of(options);
        // Loading the native library takes as long as reading a header.
        Alongside<Ops> backend = Alongside.start("qwen4j-backend", () -> Backends.open(settings));
        try (Checkpoint checkpoint = open(path, options.limits(), reward, backend)) {
            Loaded loaded = load(checkpoint, options, backend);
            LOG.info("loaded {} in {} ms: {} parameters, {} MiB of weights, context {} tokens", path,
                    (System.nanoTime() - begun) / 1_000_000, loaded.info.parameters(), loaded.info.weightBytes() >> 20,
                    loaded.info.contextLength());
            try {
                return maker.apply(loaded);
            } catch (Throwable e) {
                loaded.engine.close();
                throw e;
            }
        }
    }

    private static Checkpoint open(Path path, ModelLimits limits, boolean reward, Alongside<Ops> backend) {
        try {
            Checkpoint checkpoint = CheckpointReader.open(path, limits);
            try {
                checkHead(checkpoint, reward);
                return checkpoint;
            } catch (Throwable e) {
                checkpoint.close();
                throw e;
            }
        } catch (Throwable e) {
            try {
                backend.await().close();
            } catch (RuntimeException | Error other) {
                e.addSuppressed(other);
            }
            throw e;
        }
    }

    private static void checkHead(Checkpoint checkpoint, boolean reward) {
        QwenConfig.Head head = checkpoint.config().head();
        if (reward && head == QwenConfig.Head.LANGUAGE) {
            throw new ModelFileException(Reason.UNSUPPORTED, checkpoint.path(), "this is a language model, expected a directory with"
                    + " architectures Qwen2ForRewardModel or Qwen2ForProcessRewardModel; use QwenModel.load");
        }
        if (!reward && head != QwenConfig.Head.LANGUAGE) {
            throw new ModelFileException(Reason.UNSUPPORTED, checkpoint.path(),
                    "this is a reward model, which generates nothing, expected a language model; use RewardModel.load");
        }
    }

    private ModelTexts texts(Checkpoint checkpoint) {
        Tokenizer tokenizer = tokenizer(checkpoint);
        try {
            return new ModelTexts(tokenizer, templates.apply(checkpoint), null);
        } catch (TemplateException e) {
            // The model can still continue texts.
            LOG.warn("the chat template of {} cannot be used: {}", checkpoint.path(), e.getMessage());
            return new ModelTexts(tokenizer, null, e);
        }
    }

    /** The tokenizer, or null if the model has no files of one. A tokenizer with files that are wrong is an error. */
    private @Nullable Tokenizer tokenizer(Checkpoint checkpoint) {
        Path path = checkpoint.path();
        QwenConfig config = checkpoint.config();
        Tokenizer tokenizer;
        try {
            tokenizer = tokenizers.apply(checkpoint);
        } catch (ModelFileException e) {
            if (e.reason() == Reason.MISSING) {
                LOG.info("{} has no tokenizer: only requests of token ids can be answered ({})", path, e.getMessage());
                return null;
            }
            throw e;
        }
        if (tokenizer.vocabularySize() > config.vocabularyRows()) {
            throw new ModelFileException(Reason.TOKENIZER, path, "the tokenizer has ids up to " + (tokenizer.vocabularySize() - 1)
                    + ", but the model has " + config.vocabularyRows() + " vocabulary rows");
        }
        if (config.head() == QwenConfig.Head.PROCESS_REWARD && tokenizer.addedToken(LoadedRewardModel.STEP_END).isEmpty()) {
            throw new ModelFileException(Reason.TOKENIZER, path, "the tokenizer has no added token " + LoadedRewardModel.STEP_END
                    + ", at which a process reward model judges a step");
        }
        return tokenizer;
    }

    private Loaded load(Checkpoint checkpoint, LoadOptions options, Alongside<Ops> backend) {
        FreeList owned = new FreeList();
        owned.add(() -> backend.await().close());
        try {
            Alongside<ModelTexts> texts = Alongside.start("qwen4j-texts", () -> texts(checkpoint));
            try {
                return load(checkpoint, texts, options, backend.await(), owned);
            } catch (Throwable t) {
                awaitInFailure(texts, t);
                throw t;
            }
        } catch (OutOfMemoryError e) {
            free(owned, e);
            InsufficientMemoryException failure = new InsufficientMemoryException(
                    "memory ran out while " + checkpoint.path() + " was loaded: " + e.getMessage(), -1, -1);
            failure.initCause(e);
            throw failure;
        } catch (Throwable t) {
            free(owned, t);
            throw t;
        }
    }

    /** Of two errors that of the texts is told, whichever comes first: what a file is refused for does not depend on chance. */
    private static void awaitInFailure(Alongside<ModelTexts> texts, Throwable failure) {
        try {
            texts.await();
        } catch (RuntimeException | Error e) {
            if (e != failure) {
                e.addSuppressed(failure);
            }
            throw e;
        }
    }

    private static void free(FreeList owned, Throwable cause) {
        try {
            owned.close();
        } catch (RuntimeException e) {
            // A backend that could not be made is not closed for the same reason.
            if (e != cause) {
                cause.addSuppressed(e);
            }
        }
    }

    private Loaded load(Checkpoint checkpoint, Alongside<ModelTexts> loading, LoadOptions options, Ops chosen, FreeList owned) {
        LongContext reach = LongContext.of(checkpoint.config(), checkpoint.path(), options);
        QwenConfig config = reach.config();
        SparseBudgets sparse = Budgets.of(checkpoint.path(), config, options);
        ProgressListener progress = (stage, done, total) -> {
            loading.check();
            options.progress().progress(stage, done, total);
        };
        Placement.AttentionMaker<LayerAttention> attention = (ops, plan, taken) -> sparse == null
                ? LayerAttention.DENSE
                : taken.add(new ChosenAttention(ops, sparse.within(plan.contextLength()), plan.mostRuns(config, options)));
        // A reward model's outputs are few.
        IntSupplier named = config.head() == QwenConfig.Head.LANGUAGE ? () -> nameable(config, loading.await()) : null;
        Placement<LayerAttention> placed =
                Placement.of(new Placement.Model(checkpoint, reach, options, sparse, named, progress), chosen, attention, owned);
        ContextPlan plan = placed.plan();
        ModelTexts texts = loading.await();
        Tokenizer tokenizer = texts.tokenizer();
        int nameable = nameable(config, texts);
        ModelInfo info = info(checkpoint, reach, tokenizer, plan, placed.weights(), placed.ops());
        Engine.Limits limits = new Engine.Limits(
                plan.contextLength(), plan.prefillSlice(options), options.maxConcurrent(), options.queueLimit(),
                reach.plainLength(),
                options.sparsePrefill() == null ? Engine.Limits.NEVER_SPARSE : options.sparsePrefill().threshold());
        KvPages pages = new KvPages(plan.layout().pages());
        StepModel model =
                new DecoderModel(config, placed.decoder(), placed.batch(), placed.ops(), placed.selection(), owned);
        Engine engine = new Engine(info.name(), model, pages, limits, nameable);
        return new Loaded(config, info, checkpoint.generationDefaults().sampling(), texts, nameable, options, engine);
    }

    /** Rows of the vocabulary that have a name. */
    private static int nameable(QwenConfig config, ModelTexts texts) {
        return texts.tokenizer() == null ? config.vocabularyRows() : texts.tokenizer().vocabularySize();
    }

    /** The token with which prompts without a template begin, if the tokenizer's files ask for one. */
    private static OptionalInt beginning(@Nullable Tokenizer tokenizer) {
        return tokenizer instanceof BpeTokenizer bpe && bpe.specialTokens().addBeginning()
                ? bpe.specialTokens().beginning()
                : OptionalInt.empty();
    }

    private static ModelInfo info(
            Checkpoint checkpoint, LongContext reach, @Nullable Tokenizer tokenizer, ContextPlan plan, QwenWeights weights, Ops ops) {
        QwenConfig c = reach.config();
        Path name = checkpoint.path().toAbsolutePath().normalize().getFileName();
        return new ModelInfo(
                name == null ? checkpoint.path().toString() : name.toString(),
                c.architecture(),
                QwenTensors.parameters(c),
                QwenTensors.activeParameters(c),
                c.layers(),
                c.hiddenSize(),
                c.heads(),
                c.kvHeads(),
                c.headSize(),
                c.experts() == null ? 0 : c.experts().count(),
                c.experts() == null ? 0 : c.experts().used(),
                c.vocabularyRows(),
                (int) Math.min(plan.contextLength(), (long) plan.layout().pages() * plan.layout().pageTokens()),
                c.contextLength(),
                reach.description(),
                weights.bytes(),
                plan.layout().bytes(),
                ops.description(),
                Set.copyOf(endTokens(checkpoint, tokenizer)));
    }

    private static Set<Integer> endTokens(Checkpoint checkpoint, @Nullable Tokenizer tokenizer) {
        Set<Integer> ends = new TreeSet<>(checkpoint.generationDefaults().endTokens());
        if (tokenizer != null) {
            add(ends, tokenizer, END_TOKENS);
            if (tokenizer instanceof BpeTokenizer bpe) {
                bpe.specialTokens().end().ifPresent(ends::add);
            }
        }
        ends.removeIf(id -> id < 0 || id >= checkpoint.config().vocabularyRows());
        return ends;
    }

    private static void add(Set<Integer> ends, Tokenizer tokenizer, List<String> spellings) {
        for (String spelling : spellings) {
            OptionalInt id = tokenizer.addedToken(spelling);
            if (id.isPresent()) {
                ends.add(id.getAsInt());
            }
        }
    }
}
