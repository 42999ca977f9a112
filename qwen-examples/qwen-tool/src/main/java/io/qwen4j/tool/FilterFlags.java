package io.qwen4j.tool;

import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.ModelInfo;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.filter.Dimension;
import io.qwen4j.filter.FilterFiles;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.OnError;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Rubric;
import io.qwen4j.filter.Scorer;
import io.qwen4j.filter.Threshold;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The options of {@code qwen filter}. */
final class FilterFlags {
    static final List<Option> OPTIONS = List.of(
            Option.value("--input", "FILE", "the JSON Lines to filter, a regular file"),
            Option.value("--output", "FILE", "the file of what is kept; a journal is written beside it"),
            Option.value("--rejected", "FILE", "a file of what is not kept"),
            Option.value("--score", "instruct|perplexity|reward", "rate along dimensions, or take perplexity or reward (default instruct)"),
            Option.value("--dimension", "NAME=DESCRIPTION", "a quality to rate, one option for each"),
            Option.value("--ratings", "L-H", "the lowest and the highest rating, single digits (default 1-5)"),
            Option.value("--question", "FILE", "the message to the model, with {document}, {name}, {description}, …"),
            Option.value("--message", "TEXT", "with --score reward: the question that documents answer (default none)"),
            Option.value("--system", "TEXT", "with --score reward: the system message (default the template's)"),
            Option.value("--min", "[NAME=]X[,…]", "smallest scores that are kept, of a dimension, or of the mean without a name"),
            Option.value("--max", "[NAME=]X[,…]", "largest scores that are kept, in the same way"),
            Option.value("--field", "NAME", "the field of the document (default text)"),
            Option.value("--score-field", "NAME", "the field that scores are written to (default quality)"),
            Option.value("--on-error", "fail|skip|keep", "of lines that cannot be scored: end, reject or keep them (default fail)"),
            Option.value("--max-tokens", "N", "longest document that is scored (default what the context holds)"),
            Option.flag("--truncate", "score the beginning of longer documents instead of taking them as errors"),
            Option.value("--max-line", "BYTES", "longest line that is read (default 16777216)"),
            Option.value("--in-flight", "N", "documents scored at a time, 1 to 256 (default 8)"),
            Option.flag("--overwrite", "begin anew and replace what is there"),
            Option.flag("--json", "print the summary as a JSON object"));

    private static final Pattern RATINGS = Pattern.compile("([0-9])-([0-9])");

    private final FilterFiles files;
    private final List<Threshold> thresholds;
    private final OnError onError;
    private final int inFlight;
    private final Scoring scoring;

    /**
     * How documents are scored.
     *
     * @param dimensions names of the scores
     * @param open loads the model
     */
    private record Scoring(List<String> dimensions, Opening open) {}

    private interface Opening {
        Opened with(LoadOptions.Builder options);
    }

    /**
     * A scorer with its model.
     *
     * @param scorer the scorer
     * @param model its model, to be closed
     * @param info what the model is
     */
    record Opened(Scorer scorer, AutoCloseable model, ModelInfo info) implements AutoCloseable {
        @Override
        public void close() {
            try {
                model.close();
            } catch (Exception e) {
                throw new ToolException("the model could not be closed: " + e.getMessage(), e);
            }
        }
    }

    private FilterFlags(Arguments arguments, Streams streams) throws IOException {
        FilterFiles.Builder builder =
                FilterFiles.builder(Path.of(arguments.requiredText("--input")), Path.of(arguments.requiredText("--output")))
                        .overwrite(arguments.has("--overwrite"));
        if (arguments.has("--rejected")) {
            builder.rejected(Path.of(arguments.requiredText("--rejected")));
        }
        if (arguments.has("--field")) {
            builder.field(arguments.requiredText("--field"));
        }
        if (arguments.has("--score-field")) {
            builder.scoreField(arguments.requiredText("--score-field"));
        }
        files = checked(() -> builder.mostLineBytes(arguments.integer("--max-line", 64, 16 << 20)).build());
        thresholds = thresholds(arguments);
        OnError chosen = arguments.choice("--on-error", OnError.values());
        onError = chosen == null ? OnError.FAIL : chosen;
        inFlight = arguments.integer("--in-flight", 1, 8);
        if (inFlight > 256) {
            throw new UsageException("--in-flight must be at most 256, found " + inFlight);
        }
        scoring = scoring(arguments, streams);
        for (Threshold threshold : thresholds) {
            if (!threshold.dimension().equals(Threshold.MEAN) && !scoring.dimensions().contains(threshold.dimension())) {
                throw new UsageException("--min and --max must be of mean or one of " + String.join(", ", scoring.dimensions())
                        + ", found '" + threshold.dimension() + "'");
            }
        }
    }

    static FilterFlags of(Arguments arguments, Streams streams) throws IOException {
        return new FilterFlags(arguments, streams);
    }

    FilterFiles files() {
        return files;
    }

    /** Loads the model. */
    Opened open(Arguments arguments) {
        return scoring.open().with(CommonFlags.loadOptions(arguments).maxConcurrent(Math.max(8, inFlight)));
    }

    QualityFilter filter(Scorer scorer) {
        return new QualityFilter(scorer, thresholds, onError, inFlight);
    }

    private static Scoring scoring(Arguments arguments, Streams streams) throws IOException {
        LengthLimit limit = new LengthLimit(arguments.integer("--max-tokens", 1, 0), arguments.has("--truncate"));
        String kind = arguments.has("--score") ? arguments.requiredText("--score") : "instruct";
        switch (kind) {
            case "instruct" -> {
                refuse(arguments, "reward", "--message", "--system");
                Rubric rubric = rubric(arguments, streams);
                return new Scoring(rubric.names(), options -> {
                    QwenModel model = CommonFlags.load(arguments, streams, options);
                    return opened(model, model.info(), () -> Scorer.instruct(model, rubric, limit));
                });
            }
            case "perplexity" -> {
                refuse(arguments, "reward", "--message", "--system");
                refuse(arguments, "instruct", "--dimension", "--ratings", "--question");
                return new Scoring(List.of("perplexity"), options -> {
                    QwenModel model = CommonFlags.load(arguments, streams, options);
                    return opened(model, model.info(), () -> Scorer.perplexity(model, limit));
                });
            }
            case "reward" -> {
                refuse(arguments, "instruct", "--dimension", "--ratings", "--question");
                List<Message> before = conversation(arguments);
                return new Scoring(List.of("reward"), options -> {
                    RewardModel model = CommonFlags.loadReward(arguments, streams, options);
                    return opened(model, model.info(), () -> Scorer.reward(model, before, limit));
                });
            }
            default -> throw Arguments.wrong("--score", "instruct, perplexity or reward", kind);
        }
    }

    private static void refuse(Arguments arguments, String kind, String... names) {
        for (String name : names) {
            if (arguments.has(name)) {
                throw new UsageException(name + " is for --score " + kind);
            }
        }
    }

    private static List<Message> conversation(Arguments arguments) {
        List<Message> messages = new ArrayList<>();
        if (arguments.has("--system")) {
            messages.add(Message.system(arguments.requiredText("--system")));
        }
        if (arguments.has("--message")) {
            messages.add(Message.user(arguments.requiredText("--message")));
        }
        return messages;
    }

    /** A model whose scorer cannot be made is closed. */
    private static Opened opened(AutoCloseable model, ModelInfo info, Making<Scorer> making) {
        Opened opened = null;
        try {
            opened = new Opened(making.make(), model, info);
            return opened;
        } finally {
            if (opened == null) {
                closeQuietly(model);
            }
        }
    }

    private static void closeQuietly(AutoCloseable model) {
        try {
            model.close();
        } catch (Exception e) {
            // Why its scorer cannot be made is what the user needs to know.
            return;
        }
    }

    private static Rubric rubric(Arguments arguments, Streams streams) throws IOException {
        List<Dimension> dimensions = new ArrayList<>();
        for (String value : arguments.all("--dimension")) {
            int equals = value.indexOf('=');
            if (equals < 0) {
                throw Arguments.wrong("--dimension", "NAME=DESCRIPTION", value);
            }
            dimensions.add(checked(() -> new Dimension(value.substring(0, equals), value.substring(equals + 1))));
        }
        if (dimensions.isEmpty()) {
            throw new UsageException("--dimension is missing: a quality to rate, such as --dimension \"facts=how correct its facts are\"");
        }
        String ratings = arguments.has("--ratings") ? arguments.requiredText("--ratings") : "1-5";
        Matcher matcher = RATINGS.matcher(ratings);
        if (!matcher.matches()) {
            throw Arguments.wrong("--ratings", "two digits such as 1-5", ratings);
        }
        String question =
                arguments.has("--question") ? TextFile.read(arguments.requiredText("--question"), streams).strip() : Rubric.QUESTION;
        return checked(() -> new Rubric(
                dimensions, Integer.parseInt(matcher.group(1)), Integer.parseInt(matcher.group(2)), question));
    }

    private static List<Threshold> thresholds(Arguments arguments) {
        Map<String, double[]> ranges = new LinkedHashMap<>();
        for (String option : List.of("--min", "--max")) {
            for (String list : arguments.all(option)) {
                for (String word : list.split(",", -1)) {
                    int equals = word.indexOf('=');
                    String name = equals < 0 ? Threshold.MEAN : word.substring(0, equals).strip();
                    double[] range = ranges.computeIfAbsent(
                            name, n -> new double[] {Double.NEGATIVE_INFINITY, Double.POSITIVE_INFINITY});
                    range[option.equals("--min") ? 0 : 1] = number(option, word.substring(equals + 1), list);
                }
            }
        }
        List<Threshold> thresholds = new ArrayList<>();
        ranges.forEach((name, range) -> thresholds.add(checked(() -> new Threshold(name, range[0], range[1]))));
        return thresholds;
    }

    private static double number(String option, String word, String found) {
        try {
            double number = Double.parseDouble(word.strip());
            if (!Double.isNaN(number)) {
                return number;
            }
        } catch (NumberFormatException e) {
            throw Arguments.wrong(option, "numbers such as 3.5 or facts=3,style=2.5", found);
        }
        throw Arguments.wrong(option, "numbers such as 3.5 or facts=3,style=2.5", found);
    }

    private interface Making<T> {
        T make();
    }

    private static <T> T checked(Making<T> making) {
        try {
            return making.make();
        } catch (IllegalArgumentException e) {
            throw new UsageException(String.valueOf(e.getMessage()));
        }
    }
}
