package io.qwen4j.tool;

import java.util.List;
import java.util.Locale;

/** The texts of {@code qwen help}. */
final class Help {
    private static final int WIDTH = 100;
    private static final String MODEL =
            "MODEL is a Hugging Face directory, a GGUF file, or tiny-qwen, the bundled small model that is taken\nwhere none is given.\n";

    private Help() {}

    static String overview() {
        StringBuilder text = new StringBuilder("usage: qwen COMMAND [MODEL] [OPTIONS]\n\nCommands:\n");
        for (Command command : Main.COMMANDS) {
            text.append(String.format(Locale.ROOT, "  %-16s %s%n", command.name(), command.summary()));
        }
        return text.append('\n').append(MODEL)
                .append("qwen help COMMAND tells more about a command, qwen --version which version this is.\n")
                .toString().replace("\r\n", "\n");
    }

    static String of(Command command) {
        StringBuilder text = new StringBuilder("usage: qwen ").append(command.name()).append(' ').append(command.synopsis()).append("\n\n");
        text.append(command.summary()).append(".\n");
        if (!command.details().isEmpty()) {
            text.append('\n').append(wrap(command.details()));
        }
        if (command.operands() > 0) {
            text.append('\n').append(MODEL);
        }
        if (!command.options().isEmpty()) {
            text.append("\nOptions:\n");
            append(text, command.options());
        }
        text.append("\nCommon options:\n");
        append(text, CommonFlags.OPTIONS);
        return text.toString();
    }

    private static String wrap(String paragraph) {
        StringBuilder text = new StringBuilder();
        int column = 0;
        for (String word : paragraph.strip().split("\\s+")) {
            if (column > 0) {
                boolean fits = column + 1 + word.length() <= WIDTH;
                text.append(fits ? ' ' : '\n');
                column = fits ? column + 1 : 0;
            }
            text.append(word);
            column += word.length();
        }
        return text.append('\n').toString();
    }

    private static void append(StringBuilder text, List<Option> options) {
        int width = options.stream().mapToInt(o -> o.usage().length()).max().orElse(0);
        for (Option option : options) {
            String usage = option.usage();
            text.append("  ").append(usage).append(" ".repeat(width - usage.length() + 2)).append(option.help()).append('\n');
        }
    }
}
