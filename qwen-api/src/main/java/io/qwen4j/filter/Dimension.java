package io.qwen4j.filter;

import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A quality that documents are rated for.
 *
 * @param name its name in results and thresholds: 1 to 64 letters of ASCII, digits, underscores and dashes; none of {@code mean},
 *     {@code tokens} and {@code scored_tokens}, which stand beside it in results
 * @param description what the model is told about it, 1 to 4,000 characters, such as "how correct and verifiable its facts are"
 */
public record Dimension(String name, String description) {
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_-]{1,64}");
    private static final Set<String> TAKEN = Set.of(Threshold.MEAN, "tokens", "scored_tokens");
    private static final int MOST_CHARACTERS = 4000;

    /** Checks name and length. */
    public Dimension {
        checkName(name);
        Objects.requireNonNull(description, "description");
        if (description.isBlank() || description.length() > MOST_CHARACTERS) {
            throw new IllegalArgumentException("the description of dimension " + name + " must have 1 to " + MOST_CHARACTERS
                    + " characters, found " + (description.isBlank() ? "a blank one" : String.valueOf(description.length())));
        }
    }

    /**
     * Checks a name.
     *
     * @param name of a dimension
     * @return the name
     * @throws IllegalArgumentException if it is no name of a dimension
     */
    static String checkName(String name) {
        if (!NAME.matcher(name).matches() || TAKEN.contains(name)) {
            throw new IllegalArgumentException("the name of a dimension must be 1 to 64 of A-Z, a-z, 0-9, _ and -, and none of mean, tokens"
                    + " and scored_tokens, found '" + name + "'");
        }
        return name;
    }
}
