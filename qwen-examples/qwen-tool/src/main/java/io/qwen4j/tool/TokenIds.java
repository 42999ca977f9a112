package io.qwen4j.tool;

import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;

/** Token ids as text. */
final class TokenIds {
    private TokenIds() {}

    /** Parses ids separated by commas or white space. */
    static List<Integer> parseList(String option, String text) {
        List<Integer> ids = new ArrayList<>();
        for (String id : text.strip().split("\\s*,\\s*|\\s+")) {
            ids.add(parse(option, id));
        }
        return ids;
    }

    static int parse(String option, String text) {
        try {
            int id = Integer.parseInt(text.strip());
            if (id >= 0) {
                return id;
            }
        } catch (NumberFormatException e) {
            throw Arguments.wrong(option, "token ids", text);
        }
        throw Arguments.wrong(option, "token ids", text);
    }

    static int[] array(List<Integer> ids) {
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    static String spaced(List<Integer> ids) {
        StringJoiner text = new StringJoiner(" ");
        ids.forEach(id -> text.add(id.toString()));
        return text.toString();
    }
}
