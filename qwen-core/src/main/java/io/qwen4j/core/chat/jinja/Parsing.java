package io.qwen4j.core.chat.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Numbers from strings, and rounding, as Python does them. */
final class Parsing {
    private static final String DIGITS = "[0-9]++(?:_[0-9]++)*+";
    private static final Pattern REAL =
            Pattern.compile("[+-]?+(?:" + DIGITS + "(?:\\.(?:" + DIGITS + ")?+)?+|\\." + DIGITS + ")(?:[eE][+-]?+[0-9]++)?+");
    private static final Pattern NAMED = Pattern.compile("[+-]?(?:inf|infinity|nan)", Pattern.CASE_INSENSITIVE);

    /** Digits that Python's {@code int} reads at most. */
    private static final int MAX_DIGITS = 4300;

    private Parsing() {}

    /** {@code int(text, base)}, or null where that is an error. */
    static @Nullable Object integer(String text, int base) {
        String digits = Strings.strip(Text.trusted(text), null, true, true).chars();
        boolean negative = digits.startsWith("-");
        if (negative || digits.startsWith("+")) {
            digits = digits.substring(1);
        }
        String prefix = digits.length() < 2 ? "" : Strings.lower(digits.substring(0, 2));
        int radix = base;
        if (prefix.equals("0x") && base == 16 || prefix.equals("0o") && base == 8 || prefix.equals("0b") && base == 2) {
            digits = digits.substring(digits.startsWith("_", 2) ? 3 : 2);
        }
        boolean misplaced = digits.startsWith("_") || digits.endsWith("_") || digits.contains("__");
        if (radix < 2 || radix > 36 || digits.isEmpty() || digits.length() > MAX_DIGITS || misplaced) {
            return null;
        }
        digits = digits.replace("_", "");
        for (int i = 0; i < digits.length(); i++) {
            if (Character.digit(digits.charAt(i), radix) < 0) {
                return null;
            }
        }
        BigInteger value = new BigInteger(digits, radix);
        return Numbers.small(negative ? value.negate() : value);
    }

    /** {@code float(text)}, or null where that is an error. */
    static @Nullable Double real(String text) {
        String trimmed = Strings.strip(Text.trusted(text), null, true, true).chars();
        if (NAMED.matcher(trimmed).matches()) {
            boolean nan = Strings.lower(trimmed).endsWith("nan");
            return nan ? Double.NaN : trimmed.startsWith("-") ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
        }
        return REAL.matcher(trimmed).matches() ? Double.valueOf(trimmed.replace("_", "")) : null;
    }

    /** {@code round(value, precision)}: half to even on the exact value. */
    static Object round(Object value, int precision) {
        if (value instanceof Double real) {
            if (real.isNaN() || real.isInfinite() || real == 0) {
                return real;
            }
            double rounded = new BigDecimal(real).setScale(precision, RoundingMode.HALF_EVEN).doubleValue();
            return Math.copySign(rounded, real);
        }
        BigInteger whole = Numbers.integer(value);
        BigDecimal rounded = precision >= 0 ? new BigDecimal(whole) : new BigDecimal(whole).setScale(precision, RoundingMode.HALF_EVEN);
        return Numbers.small(rounded.toBigInteger());
    }
}
