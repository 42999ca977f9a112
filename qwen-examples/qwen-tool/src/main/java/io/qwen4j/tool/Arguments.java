package io.qwen4j.tool;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A parsed command line. {@code --name value} and {@code --name=value} are the same, {@code --} ends the options, and of an option given
 * twice the last value counts, except where all of them are asked for.
 */
final class Arguments {
    private final Map<String, List<String>> values = new LinkedHashMap<>();
    private final List<String> operands = new ArrayList<>();

    private Arguments() {}

    static Arguments parse(List<Option> options, List<String> words) {
        Arguments parsed = new Arguments();
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            if (word.equals("--")) {
                parsed.operands.addAll(words.subList(i + 1, words.size()));
                break;
            }
            if (!word.startsWith("-") || word.equals("-")) {
                parsed.operands.add(word);
                continue;
            }
            int equals = word.startsWith("--") ? word.indexOf('=') : -1;
            String name = equals < 0 ? word : word.substring(0, equals);
            Option option = find(options, name);
            String value = "";
            if (option.value() == null) {
                if (equals >= 0) {
                    throw new UsageException(name + " takes no value");
                }
            } else if (equals >= 0) {
                value = word.substring(equals + 1);
            } else if (++i < words.size()) {
                value = words.get(i);
            } else {
                throw new UsageException(name + " needs a value: " + option.usage());
            }
            parsed.values.computeIfAbsent(name, n -> new ArrayList<>()).add(value);
        }
        return parsed;
    }

    private static Option find(List<Option> options, String name) {
        for (Option option : options) {
            if (option.name().equals(name)) {
                return option;
            }
        }
        for (Option option : options) {
            if (name.length() > 3 && (option.name().startsWith(name) || name.startsWith(option.name()))) {
                throw new UsageException("unknown option " + name + ", did you mean " + option.name() + "?");
            }
        }
        throw new UsageException("unknown option " + name);
    }

    /** What is left when the options are taken out. */
    List<String> operands() {
        return List.copyOf(operands);
    }

    boolean has(String name) {
        return values.containsKey(name);
    }

    @Nullable String text(String name) {
        List<String> all = values.get(name);
        return all == null ? null : all.get(all.size() - 1);
    }

    String requiredText(String name) {
        String value = text(name);
        if (value == null) {
            throw new UsageException(name + " is missing");
        }
        return value;
    }

    List<String> all(String name) {
        return List.copyOf(values.getOrDefault(name, List.of()));
    }

    int integer(String name, int least, int otherwise) {
        String value = text(name);
        if (value == null) {
            return otherwise;
        }
        try {
            int number = Integer.parseInt(value.strip());
            if (number >= least) {
                return number;
            }
        } catch (NumberFormatException e) {
            throw wrong(name, "a whole number from " + least, value);
        }
        throw wrong(name, "a whole number from " + least, value);
    }

    @Nullable Long longInteger(String name) {
        String value = text(name);
        try {
            return value == null ? null : Long.valueOf(value.strip());
        } catch (NumberFormatException e) {
            throw wrong(name, "a whole number", value);
        }
    }

    @Nullable Float number(String name) {
        String value = text(name);
        return value == null ? null : (Float) number(name, value);
    }

    static float number(String name, String value) {
        try {
            float number = Float.parseFloat(value.strip());
            if (!Float.isNaN(number)) {
                return number;
            }
        } catch (NumberFormatException e) {
            throw wrong(name, "a number", value);
        }
        throw wrong(name, "a number", value);
    }

    /** A value out of an enum, written in any case. */
    <E extends Enum<E>> @Nullable E choice(String name, E[] choices) {
        String value = text(name);
        if (value == null) {
            return null;
        }
        List<String> names = new ArrayList<>();
        for (E choice : choices) {
            if (choice.name().equalsIgnoreCase(value)) {
                return choice;
            }
            names.add(choice.name());
        }
        throw wrong(name, "one of " + String.join(", ", names), value);
    }

    static UsageException wrong(String name, String expected, @Nullable String found) {
        return new UsageException(name + " must be " + expected + ", found '" + found + "'");
    }
}
