package io.qwen4j.tool;

import io.qwen4j.QwenException;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.jspecify.annotations.Nullable;

/** The {@code qwen} command. */
public final class Main {
    private static final int DONE = 0;
    private static final int FAILED = 1;
    private static final int WRONG_USAGE = 2;

    static final List<Command> COMMANDS = List.of(
            new ChatCommand(),
            new GenerateCommand(),
            new TokenizeCommand(),
            new RenderCommand(),
            new LogitsCommand(),
            new PerplexityCommand(),
            new FilterCommand(),
            new PassKeyCommand(),
            new InfoCommand(),
            new InspectCommand(),
            new QuantizeCommand(),
            new SynthesizeCommand(),
            new CalibrateSparseCommand(),
            new BenchCommand(),
            new EmbedCommand(),
            new RewardCommand());

    private Main() {}

    /**
     * Runs the tool and ends the JVM with its exit status: 0, 2 for wrong usage, 1 for anything else.
     *
     * @param arguments the command line
     */
    public static void main(String[] arguments) {
        boolean verbose = Arrays.asList(arguments).contains("--verbose") || System.getenv("QWEN_DEBUG") != null;
        if (System.getProperty("org.slf4j.simpleLogger.defaultLogLevel") == null) {
            System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", verbose ? "debug" : "warn");
        }
        System.exit(run(arguments, Streams.standard()));
    }

    static int run(String[] words, Streams streams) {
        try {
            int status = dispatch(words, streams);
            streams.out().flush();
            return status;
        } catch (Output.ReaderGoneException e) {
            return DONE;
        } catch (Throwable e) {
            if (isReaderGone(e)) {
                return DONE;
            }
            report(e, Arrays.asList(words).contains("--verbose") || System.getenv("QWEN_DEBUG") != null, streams);
            return FAILED;
        }
    }

    private static int dispatch(String[] words, Streams streams) throws IOException {
        String first = words.length == 0 ? "" : words[0];
        switch (first) {
            case "" -> {
                streams.err().print(Help.overview());
                streams.err().flush();
                return WRONG_USAGE;
            }
            case "--version", "version" -> {
                streams.out().println("qwen " + version());
                return DONE;
            }
            case "--help", "-h", "help" -> {
                return help(words, streams);
            }
            default -> {
                return command(first, Arrays.asList(words).subList(1, words.length), streams);
            }
        }
    }

    private static int help(String[] words, Streams streams) throws IOException {
        if (words.length < 2) {
            streams.out().print(Help.overview());
            return DONE;
        }
        Command command = find(words[1]);
        if (command == null) {
            return wrongUsage("unknown command '" + words[1] + "'", "qwen help", streams);
        }
        streams.out().print(Help.of(command));
        return DONE;
    }

    private static int command(String name, List<String> words, Streams streams) throws IOException {
        Command command = find(name);
        if (command == null) {
            return wrongUsage("unknown command '" + name + "'", "qwen help", streams);
        }
        try {
            List<Option> options = new ArrayList<>(command.options());
            options.addAll(CommonFlags.OPTIONS);
            options.add(Option.flag("-h", "show the help of the command"));
            Arguments arguments = Arguments.parse(options, words);
            if (arguments.has("--help") || arguments.has("-h")) {
                streams.out().print(Help.of(command));
                return DONE;
            }
            List<String> operands = arguments.operands();
            if (operands.size() > command.operands()) {
                throw new UsageException("'" + operands.get(command.operands()) + "' is one argument too many");
            }
            CommonFlags.loadOptions(arguments);
            command.run(arguments, streams);
            return DONE;
        } catch (UsageException e) {
            return wrongUsage(String.valueOf(e.getMessage()), "qwen " + name + " --help", streams);
        }
    }

    private static int wrongUsage(String message, String helpCommand, Streams streams) throws IOException {
        streams.out().flush();
        streams.err().println("qwen: " + oneLine(message) + " (see " + helpCommand + ")");
        streams.err().flush();
        return WRONG_USAGE;
    }

    private static @Nullable Command find(String name) {
        return COMMANDS.stream().filter(c -> c.name().equals(name)).findFirst().orElse(null);
    }

    private static boolean isReaderGone(Throwable e) {
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
            if (cause instanceof Output.ReaderGoneException) {
                return true;
            }
        }
        return false;
    }

    private static void report(Throwable e, boolean verbose, Streams streams) {
        try {
            streams.err().println("qwen: " + oneLine(describe(e)));
            if (verbose) {
                StringWriter trace = new StringWriter();
                e.printStackTrace(new PrintWriter(trace));
                streams.err().print(trace.toString());
            }
            streams.err().flush();
            streams.out().flush();
        } catch (IOException nobodyReads) {
            // The exit status still tells.
            return;
        }
    }

    private static String describe(Throwable e) {
        String message = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        if (e instanceof UncheckedIOException io && io.getCause() != null) {
            return describe(io.getCause());
        } else if (e instanceof NoSuchFileException) {
            return message + ": no such file or directory";
        } else if (e instanceof AccessDeniedException) {
            return message + ": permission denied";
        } else if (e instanceof FileSystemException file && file.getReason() == null) {
            return message + ": " + e.getClass().getSimpleName();
        } else if (e instanceof OutOfMemoryError) {
            return "the Java heap is too small (" + message + "); raise it with QWEN_JAVA_OPTIONS=-Xmx…";
        } else if (e instanceof QwenException || e instanceof ToolException || e instanceof IOException
                || e instanceof IllegalArgumentException || e instanceof IllegalStateException) {
            return message;
        }
        return "internal error, please report it: " + e.getClass().getName() + ": " + message + " (--verbose shows where)";
    }

    private static String oneLine(String text) {
        return text.replaceAll("\\s*[\\r\\n]+\\s*", " ").replaceAll("\\p{Cntrl}", "?");
    }

    static String version() throws IOException {
        Properties properties = new Properties();
        try (InputStream in = Main.class.getResourceAsStream("version.properties")) {
            if (in != null) {
                properties.load(in);
            }
        }
        return properties.getProperty("version", "unknown");
    }
}
