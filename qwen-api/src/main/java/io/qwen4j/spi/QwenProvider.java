package io.qwen4j.spi;

import io.qwen4j.BackendInfo;
import io.qwen4j.ChatTemplate;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelLimits;
import io.qwen4j.ModelShape;
import io.qwen4j.ProgressListener;
import io.qwen4j.QwenException;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.SparseCalibration;
import io.qwen4j.SparseMeasurement;
import io.qwen4j.Tokenizer;
import io.qwen4j.WeightType;
import io.qwen4j.filter.FilterFiles;
import io.qwen4j.filter.FilterListener;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Rubric;
import io.qwen4j.filter.Scorer;
import io.qwen4j.filter.Verdict;
import java.nio.file.Path;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** An implementation of the API, found through {@link ServiceLoader}. Thread-safe. */
public interface QwenProvider {
    /**
     * The implementation on the class path or module path.
     *
     * @return the provider
     * @throws QwenException if there is none
     */
    static QwenProvider instance() {
        return Holder.find();
    }

    /**
     * Implements {@link BackendInfo#all()}.
     *
     * @return the backends, in the order in which they are tried
     */
    List<BackendInfo> backends();

    /**
     * Implements {@link QwenModel#load(Path, LoadOptions)}.
     *
     * @param model directory or file
     * @param options how to load it
     * @return the model
     */
    QwenModel load(Path model, LoadOptions options);

    /**
     * Implements {@link RewardModel#load(Path, LoadOptions)}.
     *
     * @param model directory
     * @param options how to load it
     * @return the model
     */
    RewardModel loadReward(Path model, LoadOptions options);

    /**
     * Implements {@link Tokenizer#load(Path, ModelLimits)}.
     *
     * @param model directory or file
     * @param limits bounds on what is believed of the files
     * @return the tokenizer
     */
    Tokenizer loadTokenizer(Path model, ModelLimits limits);

    /**
     * Implements {@link ChatTemplate#load(Path)}.
     *
     * @param model directory or file
     * @param limits bounds on what is believed of the files
     * @return the template
     */
    ChatTemplate loadChatTemplate(Path model, ModelLimits limits);

    /**
     * Implements {@link ChatTemplate#parse(String)}.
     *
     * @param jinja the template's source
     * @return the template
     */
    ChatTemplate parseChatTemplate(String jinja);

    /**
     * Implements {@link io.qwen4j.ModelFiles#inspect(Path)}.
     *
     * @param model directory or file
     * @param limits bounds on what is believed of the files
     * @return what they hold
     */
    ModelFileInfo inspect(Path model, ModelLimits limits);

    /**
     * Implements {@link io.qwen4j.ModelFiles#quantize(Path, WeightType, Path, ProgressListener)}.
     *
     * @param model directory or file
     * @param type the type of the matrices
     * @param output the file to write
     * @param progress hears of the progress
     */
    void quantize(Path model, WeightType type, Path output, ProgressListener progress);

    /**
     * Implements {@link io.qwen4j.ModelFiles#synthesize(ModelShape, WeightType, long, Path, ProgressListener)}.
     *
     * @param shape the model whose shape it is
     * @param type the type of the matrices
     * @param seed of the random weights
     * @param output the file to write
     * @param progress hears of the progress
     */
    void synthesize(ModelShape shape, WeightType type, long seed, Path output, ProgressListener progress);

    /**
     * Implements {@link io.qwen4j.SparseAttention#calibrate}.
     *
     * @param model directory or file
     * @param options how to load it
     * @param tokens the text
     * @param recall the recall to reach
     * @param output the file to write
     * @param progress hears of the progress
     * @return what was found
     */
    SparseCalibration calibrateSparse(
            Path model, LoadOptions options, int[] tokens, double recall, Path output, ProgressListener progress);

    /**
     * Implements {@link io.qwen4j.SparseAttention#measure}.
     *
     * @param model directory or file
     * @param options how to load it, with {@code sparsePrefill}
     * @param tokens the text
     * @param lengths numbers of its first tokens to prefill
     * @param followSparse whether layers take what came of the chosen keys
     * @param progress hears of the progress
     * @return the figures of each length
     */
    List<SparseMeasurement> measureSparse(
            Path model, LoadOptions options, int[] tokens, List<Integer> lengths, boolean followSparse, ProgressListener progress);

    /**
     * Implements {@link Scorer#instruct(QwenModel, Rubric, LengthLimit)}.
     *
     * @param model an instruct model
     * @param rubric what is asked
     * @param limit what becomes of long documents
     * @return the scorer
     */
    Scorer instructScorer(QwenModel model, Rubric rubric, LengthLimit limit);

    /**
     * Implements {@link Scorer#perplexity(QwenModel, LengthLimit)}.
     *
     * @param model any model with a tokenizer
     * @param limit what becomes of long documents
     * @return the scorer
     */
    Scorer perplexityScorer(QwenModel model, LengthLimit limit);

    /**
     * Implements {@link Scorer#reward(RewardModel, List, LengthLimit)}.
     *
     * @param model a model that judges conversations
     * @param conversation the messages before the document
     * @param limit what becomes of long documents
     * @return the scorer
     */
    Scorer rewardScorer(RewardModel model, List<Message> conversation, LengthLimit limit);

    /**
     * Implements {@link QualityFilter#judge(Stream)}.
     *
     * @param filter the filter
     * @param documents the texts
     * @return their verdicts
     */
    Stream<Verdict> judge(QualityFilter filter, Stream<String> documents);

    /**
     * Implements {@link QualityFilter#run(FilterFiles, FilterListener)}.
     *
     * @param filter the filter
     * @param files which files
     * @param listener hears of the progress
     * @return what was done
     */
    FilterSummary filterFiles(QualityFilter filter, FilterFiles files, FilterListener listener);

    /** Finds the provider once. */
    final class Holder {
        private static volatile @Nullable QwenProvider provider;

        private Holder() {}

        private static QwenProvider find() {
            QwenProvider found = provider;
            if (found == null) {
                found = ServiceLoader.load(QwenProvider.class, QwenProvider.class.getClassLoader())
                        .findFirst()
                        .orElseThrow(() -> new QwenException(
                                "no implementation of Qwen4J found; add io.qwen4j:qwen4j (or io.qwen4j:qwen-core) to the dependencies"));
                provider = found;
            }
            return found;
        }
    }
}
