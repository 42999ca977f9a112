package io.qwen4j.tool;

import io.qwen4j.ControlTokens;
import io.qwen4j.Tokenizer;
import java.io.IOException;
import java.util.List;

/** Text to token ids and back, a line each. */
final class TokenizeCommand implements Command {
    @Override
    public String name() {
        return "tokenize";
    }

    @Override
    public String synopsis() {
        return "MODEL [--decode] [--plain]";
    }

    @Override
    public String summary() {
        return "Turn JSON strings into arrays of token ids, line by line";
    }

    @Override
    public String details() {
        return "Standard input has one JSON string a line, standard output one JSON array of ids a line; --decode the other way round. "
                + "Only the tokenizer files of MODEL are needed. Empty lines are skipped.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.flag("--decode", "turn arrays of ids into strings"),
                Option.flag("--plain", "take the spelling of control tokens as ordinary text"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        boolean decode = arguments.has("--decode");
        if (decode && arguments.has("--plain")) {
            throw new UsageException("--plain is for encoding; --decode writes control tokens as they are spelt");
        }
        ControlTokens control = arguments.has("--plain") ? ControlTokens.PLAIN : ControlTokens.RECOGNIZE;
        Tokenizer tokenizer = Tokenizer.load(CommonFlags.model(arguments));
        LineReader lines = new LineReader(streams.in());
        Output out = streams.out();
        for (byte[] line = lines.next(); line != null; line = lines.next()) {
            if (isBlank(line)) {
                continue;
            }
            out.println(decode
                    ? decode(tokenizer, line, lines.number())
                    : array(tokenizer.encode(Json.string(line, lines.number()), control)));
            if (out.isTerminal() || lines.wouldWait()) {
                // Whoever writes a line and waits for its answer gets it; a long file is written in large pieces.
                out.flush();
            }
        }
    }

    private static String decode(Tokenizer tokenizer, byte[] line, long number) throws IOException {
        int[] ids = Json.ids(line, number);
        try {
            return Json.quote(tokenizer.decode(ids));
        } catch (IllegalArgumentException e) {
            throw new ToolException("standard input, line " + number + ": " + e.getMessage(), e);
        }
    }

    private static String array(int[] ids) {
        StringBuilder text = new StringBuilder(8 * ids.length + 2).append('[');
        for (int i = 0; i < ids.length; i++) {
            text.append(i == 0 ? "" : ",").append(ids[i]);
        }
        return text.append(']').toString();
    }

    private static boolean isBlank(byte[] line) {
        for (byte b : line) {
            if (b != ' ' && b != '\t') {
                return false;
            }
        }
        return true;
    }
}
