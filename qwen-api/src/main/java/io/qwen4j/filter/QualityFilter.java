package io.qwen4j.filter;

import io.qwen4j.CancelledException;
import io.qwen4j.spi.QwenProvider;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * Keeps the documents that a {@link Scorer} gives good scores. Immutable and thread-safe; made with {@link #builder(Scorer)}. It owns
 * nothing: the model behind its scorer is closed by whoever loaded it, when nothing is filtered any more.
 *
 * <pre>{@code
 * Scorer scorer = Scorer.instruct(model, Rubric.of(new Dimension("facts", "how correct its facts are")), LengthLimit.TRUNCATE);
 * QualityFilter filter = QualityFilter.builder(scorer).threshold(Threshold.least("facts", 3.5)).build();
 * try (Stream<String> kept = filter.keep(documents)) {
 *     kept.forEach(System.out::println);
 * }
 * }</pre>
 *
 * @param scorer what computes the scores
 * @param thresholds what a document must pass, all of them; without any each document that can be scored is kept
 * @param onError what becomes of documents that cannot be scored
 * @param inFlight documents scored at a time, 1 to 256, each on a thread that waits for the engine; the engine computes at most
 *     {@link io.qwen4j.LoadOptions#maxConcurrent()} of them together
 */
public record QualityFilter(Scorer scorer, List<Threshold> thresholds, OnError onError, int inFlight) {
    private static final int MOST_IN_FLIGHT = 256;

    /** Copies the list and checks that the thresholds are of dimensions that there are. */
    public QualityFilter {
        Objects.requireNonNull(scorer, "scorer");
        Objects.requireNonNull(onError, "onError");
        thresholds = List.copyOf(thresholds);
        if (inFlight < 1 || inFlight > MOST_IN_FLIGHT) {
            throw new IllegalArgumentException("inFlight must be 1 to " + MOST_IN_FLIGHT + ", found " + inFlight);
        }
        List<String> dimensions = scorer.dimensions();
        for (Threshold threshold : thresholds) {
            if (!threshold.dimension().equals(Threshold.MEAN) && !dimensions.contains(threshold.dimension())) {
                throw new IllegalArgumentException("a threshold must be of mean or one of the dimensions " + dimensions + ", found '"
                        + threshold.dimension() + "'");
            }
        }
    }

    /**
     * Starts from the defaults.
     *
     * @param scorer what computes the scores
     * @return a new builder
     */
    public static Builder builder(Scorer scorer) {
        return new Builder(scorer);
    }

    /**
     * Whether scores pass.
     *
     * @param scores of a document
     * @return whether all thresholds admit them
     */
    public boolean admits(DocumentScores scores) {
        return thresholds.stream().allMatch(threshold -> threshold.admits(scores));
    }

    /**
     * Judges one document, on the calling thread.
     *
     * @param document the text
     * @return the verdict
     * @throws DocumentException if it cannot be scored and {@link #onError()} is {@link OnError#FAIL}
     * @throws CancelledException if the thread is interrupted
     */
    public Verdict judge(String document) {
        try {
            DocumentScores scores = scorer.score(document);
            return new Verdict(document, admits(scores), scores, null);
        } catch (DocumentException e) {
            if (onError == OnError.FAIL) {
                throw e;
            }
            return new Verdict(document, onError == OnError.KEEP, null, e);
        }
    }

    /**
     * Judges documents, several at a time. Verdicts come in the order of the documents. The source is read on the thread that reads the
     * verdicts, at most {@link #inFlight()} documents ahead, so it may be endless. An error of a document or of the source is thrown where
     * its verdict would come. Closing the stream, from any thread, or interrupting the one that reads it cancels what is being scored; who
     * reads then gets {@link CancelledException}. A stream that was read to its end or that threw needs no closing.
     *
     * @param documents the texts; closed with the stream
     * @return their verdicts, a sequential stream
     */
    public Stream<Verdict> judge(Stream<String> documents) {
        return QwenProvider.instance().judge(this, documents);
    }

    /**
     * Keeps the documents that pass; else like {@link #judge(Stream)}.
     *
     * @param documents the texts; closed with the stream
     * @return those that are kept, in their order
     */
    public Stream<String> keep(Stream<String> documents) {
        return judge(documents).filter(Verdict::kept).map(Verdict::document);
    }

    /**
     * Filters a file of JSON Lines into another, or goes on where an earlier run was ended, see {@link FilterFiles}. Memory does not grow
     * with the file: at most {@link #inFlight()} lines are held, and no line is begun while those held have more than 64 MiB. Interrupting
     * the thread cancels the run; it can be resumed then, as after any error.
     *
     * @param files which files
     * @param listener hears of the progress
     * @return what was done
     * @throws FilterException if the files are not what they should be, or reading or writing fails
     * @throws DocumentException if a document cannot be scored and {@link #onError()} is {@link OnError#FAIL}
     * @throws CancelledException if the thread is interrupted
     */
    public FilterSummary run(FilterFiles files, FilterListener listener) {
        return QwenProvider.instance().filterFiles(this, files, listener);
    }

    /** Collects options. Not thread-safe. */
    public static final class Builder {
        private final Scorer scorer;
        private final List<Threshold> thresholds = new ArrayList<>();
        private OnError onError = OnError.FAIL;
        private int inFlight = 8;

        private Builder(Scorer scorer) {
            this.scorer = scorer;
        }

        /**
         * Adds a threshold.
         *
         * @param threshold what a document must pass, too
         * @return this builder
         */
        public Builder threshold(Threshold threshold) {
            thresholds.add(threshold);
            return this;
        }

        /**
         * Sets what becomes of documents that cannot be scored.
         *
         * @param value fail (the default), skip or keep
         * @return this builder
         */
        public Builder onError(OnError value) {
            this.onError = value;
            return this;
        }

        /**
         * Sets how many documents are scored at a time.
         *
         * @param documents 1 to 256 (default 8, that of the engine's {@code maxConcurrent})
         * @return this builder
         */
        public Builder inFlight(int documents) {
            this.inFlight = documents;
            return this;
        }

        /**
         * Makes the filter.
         *
         * @return the filter
         * @throws IllegalArgumentException if a value is out of its range, or a threshold is of no dimension
         */
        public QualityFilter build() {
            return new QualityFilter(scorer, thresholds, onError, inFlight);
        }
    }
}
