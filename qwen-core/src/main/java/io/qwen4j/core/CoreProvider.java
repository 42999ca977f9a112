package io.qwen4j.core;

import io.qwen4j.BackendInfo;
import io.qwen4j.ChatTemplate;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelLimits;
import io.qwen4j.ModelShape;
import io.qwen4j.ProgressListener;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.SparseCalibration;
import io.qwen4j.SparseMeasurement;
import io.qwen4j.Tokenizer;
import io.qwen4j.WeightType;
import io.qwen4j.core.chat.JinjaChatTemplate;
import io.qwen4j.core.chat.TemplateLoader;
import io.qwen4j.core.engine.Backends;
import io.qwen4j.core.engine.ModelLoader;
import io.qwen4j.core.engine.SparseCalibrator;
import io.qwen4j.core.engine.SparseMeter;
import io.qwen4j.core.filter.FilterRun;
import io.qwen4j.core.filter.InstructScorer;
import io.qwen4j.core.filter.PerplexityScorer;
import io.qwen4j.core.filter.RewardScorer;
import io.qwen4j.core.filter.VerdictStream;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.model.Quantizer;
import io.qwen4j.core.model.Synthesizer;
import io.qwen4j.core.tokenizer.TokenizerLoader;
import io.qwen4j.filter.FilterFiles;
import io.qwen4j.filter.FilterListener;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Rubric;
import io.qwen4j.filter.Scorer;
import io.qwen4j.filter.Verdict;
import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Implements the API. */
public final class CoreProvider implements QwenProvider {
    @Override
    public List<BackendInfo> backends() {
        return Backends.describe();
    }

    @Override
    public QwenModel load(Path model, LoadOptions options) {
        return ModelLoader.open(model, options);
    }

    @Override
    public RewardModel loadReward(Path model, LoadOptions options) {
        return ModelLoader.openReward(model, options);
    }

    @Override
    public Tokenizer loadTokenizer(Path model, ModelLimits limits) {
        return TokenizerLoader.load(model, limits);
    }

    @Override
    public ChatTemplate loadChatTemplate(Path model, ModelLimits limits) {
        return TemplateLoader.load(model, limits);
    }

    @Override
    public ChatTemplate parseChatTemplate(String jinja) {
        return JinjaChatTemplate.parse(jinja);
    }

    @Override
    public ModelFileInfo inspect(Path model, ModelLimits limits) {
        try (Checkpoint checkpoint = CheckpointReader.open(model, limits)) {
            return checkpoint.describe();
        }
    }

    @Override
    public void quantize(Path model, WeightType type, Path output, ProgressListener progress) {
        Quantizer.quantizeFile(model, type, output, ModelLimits.DEFAULT, progress);
    }

    @Override
    public void synthesize(ModelShape shape, WeightType type, long seed, Path output, ProgressListener progress) {
        Synthesizer.synthesizeFile(shape, type, seed, output, progress);
    }

    @Override
    public SparseCalibration calibrateSparse(
            Path model, LoadOptions options, int[] tokens, double recall, Path output, ProgressListener progress) {
        return SparseCalibrator.calibrate(model, options, tokens, recall, output, progress);
    }

    @Override
    public List<SparseMeasurement> measureSparse(
            Path model, LoadOptions options, int[] tokens, List<Integer> lengths, boolean followSparse, ProgressListener progress) {
        return SparseMeter.measure(model, options, tokens, lengths, followSparse, progress);
    }

    @Override
    public Scorer instructScorer(QwenModel model, Rubric rubric, LengthLimit limit) {
        return new InstructScorer(model, rubric, limit);
    }

    @Override
    public Scorer perplexityScorer(QwenModel model, LengthLimit limit) {
        return new PerplexityScorer(model, limit);
    }

    @Override
    public Scorer rewardScorer(RewardModel model, List<Message> conversation, LengthLimit limit) {
        return new RewardScorer(model, conversation, limit);
    }

    @Override
    public Stream<Verdict> judge(QualityFilter filter, Stream<String> documents) {
        return VerdictStream.of(filter, documents);
    }

    @Override
    public FilterSummary filterFiles(QualityFilter filter, FilterFiles files, FilterListener listener) {
        return FilterRun.run(filter, files, listener);
    }
}
