package io.qwen4j.tool;

import io.qwen4j.ChatTemplate;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** How much of a long text a model can use. */
final class PassKeyCommand implements Command {
    /** "The pass key is 12345." takes 11 or 12 with digits of one token each; more is for models that chat. */
    private static final int ANSWER_TOKENS = 24;
    /** All keys of a run differ, and there are 100,000 of them. */
    private static final int MOST_PROMPTS = 10_000;
    /** One a percent. */
    private static final int MOST_DEPTHS = 101;

    private static final Pattern LENGTH = Pattern.compile("([0-9]{1,10})([KkMm]?)");
    private static final long REDRAW_MILLIS = 100;

    /**
     * What is measured.
     *
     * @param lengths tokens of prompt and answer
     * @param depths places of the key in each text, at least 1
     * @param trials texts for each length and depth
     * @param seed of keys and filler
     */
    record Plan(List<Integer> lengths, int depths, int trials, long seed) {
        /** The part of the filler before the key; a single place is the middle. */
        double depth(int index) {
            return depths == 1 ? 0.5 : (double) index / (depths - 1);
        }

        int shortest() {
            return lengths.stream().mapToInt(Integer::intValue).min().orElseThrow();
        }

        int longest() {
            return lengths.stream().mapToInt(Integer::intValue).max().orElseThrow();
        }
    }

    @Override
    public String name() {
        return "passkey";
    }

    @Override
    public String synopsis() {
        return "MODEL --lengths L[,L] [--depths N] [--trials N] [--modes MODE[,MODE]] [--seed S] [--json]";
    }

    @Override
    public String summary() {
        return "Measure how well the model finds a pass key in long texts";
    }

    @Override
    public String details() {
        return "Hides a number of five digits in filler text and asks for it, once for each length, depth and trial. A length is what "
                + "prompt and answer may take, in tokens: the prompt fills it but for the " + ANSWER_TOKENS + " of the answer; K is 1024, "
                + "M is 1024 K. Depth is the part of the text before the key, 0 to 100 %. Answers are greedy, and a key is found if the "
                + "answer has its digits. Each row tells the keys found of the trials, for each depth. The context is the largest length "
                + "unless --context is given. Each mode loads the model anew and measures the same texts: given is what the files and the "
                + "common options say; plain extends positions by nothing; yarn stretches them by the largest length over the training "
                + "length; dual-chunk cuts the text into chunks made for the training length; dual-chunk+yarn does both. What the "
                + "common options say of YaRN and dual chunks holds in the modes that have them.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--lengths", "L[,L]", "lengths of prompt and answer in tokens, such as 1K,4K,16K"),
                Option.value("--depths", "N", "places of the key, evenly from 0 to 100 %; 1 is the middle (default 5)"),
                Option.value("--trials", "N", "texts for each length and depth (default 3)"),
                Option.value("--modes", "MODE[,MODE]", "how positions are extended: " + PassKeyMode.labels() + " (default given)"),
                Option.value("--training-length", "N", "tokens the model was trained for (default what its files state)"),
                Option.value("--seed", "S", "start of the random numbers of keys and filler (default 1)"),
                Option.flag("--json", "print a JSON object"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        Plan plan = plan(arguments);
        List<PassKeyMode> modes = arguments.has("--modes")
                ? PassKeyMode.parse("--modes", arguments.requiredText("--modes"))
                : List.of(PassKeyMode.GIVEN);
        LoadOptions given = CommonFlags.loadOptions(arguments).build();
        modes.forEach(mode -> mode.check(given));
        int trained = arguments.integer("--training-length", 16, 0);
        Path path = CommonFlags.model(arguments);
        PassKeyPrompts prompts = new PassKeyPrompts(Tokenizer.load(path), ChatTemplate.load(path));
        int least = prompts.fewestTokens() + ANSWER_TOKENS;
        if (plan.shortest() < least) {
            throw new ToolException("--lengths holds " + plan.shortest() + ", but " + path + " needs at least " + least
                    + " tokens for a pass key, its question and the answer");
        }
        if (trained == 0 && modes.stream().anyMatch(PassKeyMode::needsTrainingLength)) {
            trained = trainingLength(arguments, streams);
        }
        PassKeyReport report = new PassKeyReport(plan);
        for (PassKeyMode mode : modes) {
            LoadOptions.Builder options = loadOptions(arguments, plan.longest());
            mode.apply(options, trained, plan.longest());
            try (QwenModel model = CommonFlags.load(arguments, streams, options)) {
                measure(model, prompts, plan, mode, report, arguments.has("--json"), streams);
            }
        }
        if (arguments.has("--json")) {
            streams.out().println(Json.write(report::write));
        }
    }

    private static Plan plan(Arguments arguments) {
        List<Integer> lengths = lengths(arguments.requiredText("--lengths"));
        Plan plan = new Plan(
                lengths, arguments.integer("--depths", 1, 5), arguments.integer("--trials", 1, 3), seed(arguments));
        if (plan.depths() > MOST_DEPTHS) {
            throw new UsageException("--depths must be at most " + MOST_DEPTHS + ", found " + plan.depths());
        }
        long texts = (long) lengths.size() * plan.depths() * plan.trials();
        if (texts > MOST_PROMPTS) {
            throw new UsageException(
                    "--lengths, --depths and --trials ask for " + texts + " texts, at most " + MOST_PROMPTS + " are allowed");
        }
        int context = arguments.integer("--context", 1, plan.longest());
        if (plan.longest() > context) {
            throw new UsageException("--lengths holds " + plan.longest() + ", but --context is " + context);
        }
        return plan;
    }

    private static long seed(Arguments arguments) {
        Long seed = arguments.longInteger("--seed");
        return seed == null ? 1 : seed;
    }

    private static List<Integer> lengths(String list) {
        List<Integer> lengths = new ArrayList<>();
        for (String word : list.split(",", -1)) {
            Matcher matcher = LENGTH.matcher(word.strip());
            long length = 0;
            if (matcher.matches()) {
                String unit = matcher.group(2).toUpperCase(Locale.ROOT);
                length = Long.parseLong(matcher.group(1)) << (unit.equals("K") ? 10 : unit.equals("M") ? 20 : 0);
            }
            if (length < 1 || length > Integer.MAX_VALUE) {
                throw Arguments.wrong("--lengths", "numbers of tokens such as 512,4K, separated by commas", word);
            }
            lengths.add((int) length);
        }
        return lengths;
    }

    private static LoadOptions.Builder loadOptions(Arguments arguments, int longest) {
        LoadOptions.Builder options = CommonFlags.loadOptions(arguments);
        return arguments.has("--context") ? options : options.contextLength(longest);
    }

    /** What the model reaches with its positions as they are: its files have it under different names. */
    private static int trainingLength(Arguments arguments, Streams streams) {
        LoadOptions.Builder options = CommonFlags.loadOptions(arguments).contextLength(ANSWER_TOKENS);
        PassKeyMode.PLAIN.apply(options, 0, 0);
        try (QwenModel model = CommonFlags.load(arguments, streams, options)) {
            return model.info().modelContextLength();
        }
    }

    private static void measure(
            QwenModel model, PassKeyPrompts prompts, Plan plan, PassKeyMode mode, PassKeyReport report, boolean asJson, Streams streams)
            throws IOException {
        Random random = new Random(plan.seed());
        Set<String> keys = new HashSet<>();
        long total = plan.lengths().stream().mapToLong(length -> (long) length * plan.depths() * plan.trials()).sum();
        String head = report.begin(mode, model.info());
        print(asJson ? "" : head, streams);
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            long done = 0;
            for (int length : plan.lengths()) {
                int[] found = new int[plan.depths()];
                int promptTokens = 0;
                for (int depth = 0; depth < plan.depths(); depth++) {
                    for (int trial = 0; trial < plan.trials(); trial++) {
                        PassKeyPrompts.Prompt prompt =
                                prompts.write(length - ANSWER_TOKENS, plan.depth(depth), newKey(random, keys), random);
                        found[depth] += holds(answer(model, prompt, bar, done, total), prompt.key()) ? 1 : 0;
                        promptTokens = Math.max(promptTokens, prompt.tokens());
                        done += length;
                    }
                }
                String row = report.add(new PassKeyReport.Row(length, promptTokens, found));
                bar.close();
                print(asJson ? "" : row, streams);
            }
        }
        String sum = report.end();
        print(asJson ? "" : sum, streams);
    }

    private static void print(String text, Streams streams) throws IOException {
        streams.out().print(text);
        streams.out().flush();
    }

    private static String newKey(Random random, Set<String> keys) {
        while (true) {
            String key = String.format(Locale.ROOT, "%0" + PassKeyPrompts.DIGITS + "d", random.nextInt(100_000));
            if (keys.add(key)) {
                return key;
            }
        }
    }

    /** Whether the digits stand in the answer as a number of their own. */
    static boolean holds(String answer, String key) {
        return Pattern.compile("(?<![0-9])" + key + "(?![0-9])").matcher(answer).find();
    }

    private static String answer(QwenModel model, PassKeyPrompts.Prompt prompt, ProgressBar bar, long done, long total) {
        GenerationOptions options =
                GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(ANSWER_TOKENS).build();
        long before = model.stats().promptTokens();
        try (Generation generation =
                model.submit(new GenerationRequest.Chat(List.of(Message.user(prompt.text())), List.of(), options))) {
            while (!generation.isDone()) {
                bar.progress("passkey", done + model.stats().promptTokens() - before, total);
                waitFor(generation);
            }
            GenerationResult result = generation.await();
            return result.text();
        }
    }

    private static void waitFor(Generation generation) {
        try {
            generation.result().get(REDRAW_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            return;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            generation.cancel();
        } catch (java.util.concurrent.ExecutionException e) {
            // The generation tells it when it is asked for its answer.
            return;
        }
    }
}
