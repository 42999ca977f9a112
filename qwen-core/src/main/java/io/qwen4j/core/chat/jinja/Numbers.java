package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;

/** Python's numbers: integers of any size (up to a bound), floats, booleans as 0 and 1. */
final class Numbers {
    /** Bits of an integer that a template may compute; Python itself prints at most 4,300 digits. */
    private static final int MAX_BITS = 14_000;

    private Numbers() {}

    static boolean isNumber(Object value) {
        return value instanceof Long || value instanceof Double || value instanceof Boolean || value instanceof BigInteger;
    }

    static boolean isInteger(Object value) {
        return value instanceof Long || value instanceof BigInteger || value instanceof Boolean;
    }

    static boolean isNonZero(Object value) {
        return value instanceof Long number ? number != 0 : value instanceof Double d ? d != 0 : integer(value).signum() != 0;
    }

    static BigInteger integer(Object value) {
        if (value instanceof BigInteger big) {
            return big;
        }
        return value instanceof Boolean flag ? (flag ? BigInteger.ONE : BigInteger.ZERO) : BigInteger.valueOf((Long) value);
    }

    static double real(Object value) {
        if (value instanceof Double number) {
            return number;
        }
        double converted = value instanceof Long number ? number : integer(value).doubleValue();
        if (Double.isInfinite(converted)) {
            throw new TemplateException("an integer of the chat template is too large for a float");
        }
        return converted;
    }

    static Object small(BigInteger value) {
        if (value.bitLength() < 64) {
            return value.longValue();
        }
        if (value.bitLength() > MAX_BITS) {
            throw new TemplateException("an integer of the chat template exceeds " + MAX_BITS + " bits");
        }
        return value;
    }

    /** Whether neither is NaN. */
    static boolean isOrdered(Object a, Object b) {
        return !(a instanceof Double x && x.isNaN()) && !(b instanceof Double y && y.isNaN());
    }

    static int compare(Object a, Object b) {
        if (a instanceof Long x && b instanceof Long y) {
            return Long.compare(x, y);
        }
        if (isInteger(a) && isInteger(b)) {
            return integer(a).compareTo(integer(b));
        }
        if (a instanceof Double x && (b instanceof Double || x.isInfinite() || x.isNaN())) {
            return compareReal(x, b instanceof Double y ? y : 0);
        }
        if (b instanceof Double y && (y.isInfinite() || y.isNaN())) {
            return compareReal(0.0, y);
        }
        return decimal(a).compareTo(decimal(b));
    }

    /** As Double.compare, except that the two zeros are equal. */
    private static int compareReal(double a, double b) {
        return a == b ? 0 : Double.compare(a, b);
    }

    private static BigDecimal decimal(Object value) {
        return value instanceof Double number ? new BigDecimal(number) : new BigDecimal(integer(value));
    }

    static Object binary(String operator, Object a, Object b) {
        if (operator.equals("/")) {
            double divisor = real(b);
            if (divisor == 0) {
                throw divisionByZero();
            }
            return real(a) / divisor;
        }
        if (isInteger(a) && isInteger(b)) {
            return integers(operator, integer(a), integer(b));
        }
        return reals(operator, real(a), real(b));
    }

    private static Object integers(String operator, BigInteger a, BigInteger b) {
        return switch (operator) {
            case "+" -> small(a.add(b));
            case "-" -> small(a.subtract(b));
            case "*" -> small(a.multiply(b));
            case "//" -> small(floorDivide(a, b)[0]);
            case "%" -> small(floorDivide(a, b)[1]);
            case "**" -> power(a, b);
            default -> throw new TemplateException("operator " + operator + " is not supported in chat templates");
        };
    }

    private static BigInteger[] floorDivide(BigInteger a, BigInteger b) {
        if (b.signum() == 0) {
            throw divisionByZero();
        }
        BigInteger[] parts = a.divideAndRemainder(b);
        if (parts[1].signum() != 0 && parts[1].signum() != b.signum()) {
            parts[0] = parts[0].subtract(BigInteger.ONE);
            parts[1] = parts[1].add(b);
        }
        return parts;
    }

    private static Object power(BigInteger base, BigInteger exponent) {
        if (exponent.signum() < 0) {
            if (base.signum() == 0) {
                throw divisionByZero();
            }
            return Math.pow(real(base), real(exponent));
        }
        if (base.abs().bitLength() <= 1) {
            // 0, 1 and -1 have powers for every exponent: that of the same parity will do.
            return small(base.pow(exponent.signum() == 0 ? 0 : exponent.testBit(0) ? 1 : 2));
        }
        if (exponent.bitLength() > 31 || (base.abs().bitLength() - 1) * exponent.longValue() > MAX_BITS) {
            throw new TemplateException("a power in the chat template exceeds " + MAX_BITS + " bits");
        }
        return small(base.pow(exponent.intValue()));
    }

    private static Object reals(String operator, double a, double b) {
        if (b == 0 && (operator.equals("//") || operator.equals("%"))) {
            throw divisionByZero();
        }
        return switch (operator) {
            case "+" -> a + b;
            case "-" -> a - b;
            case "*" -> a * b;
            case "//" -> floorQuotient(a, b);
            case "%" -> floorRemainder(a, b);
            case "**" -> Math.pow(a, b);
            default -> throw new TemplateException("operator " + operator + " is not supported in chat templates");
        };
    }

    private static double floorRemainder(double a, double b) {
        double remainder = a % b;
        if (remainder == 0) {
            return Math.copySign(0.0, b);
        }
        return remainder < 0 != b < 0 ? remainder + b : remainder;
    }

    private static double floorQuotient(double a, double b) {
        double quotient = (a - floorRemainder(a, b)) / b;
        double floor = Math.floor(quotient);
        return quotient == 0 ? Math.copySign(0.0, a / b) : quotient - floor > 0.5 ? floor + 1 : floor;
    }

    private static TemplateException divisionByZero() {
        return new TemplateException("the chat template divides by zero");
    }

    static Object negate(Object value) {
        return value instanceof Double number ? (Object) (-number) : small(integer(value).negate());
    }

    static Object absolute(Object value) {
        return value instanceof Double number ? (Object) Math.abs(number) : small(integer(value).abs());
    }

    static Object truncate(double value) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            throw new TemplateException("the chat template converts " + repr(value) + " to an integer");
        }
        return small(new BigDecimal(value).toBigInteger());
    }

    /** The shortest decimal that reads back as the same float, in Python's notation. */
    static String repr(double value) {
        if (Double.isNaN(value)) {
            return "nan";
        }
        if (Double.isInfinite(value)) {
            return value > 0 ? "inf" : "-inf";
        }
        if (value == 0) {
            return 1 / value < 0 ? "-0.0" : "0.0";
        }
        BigDecimal shortest = shortest(Math.abs(value)).stripTrailingZeros();
        String digits = shortest.unscaledValue().toString();
        int exponent = digits.length() - 1 - shortest.scale();
        StringBuilder out = new StringBuilder(value < 0 ? "-" : "");
        if (exponent < -4 || exponent >= 16) {
            out.append(digits.charAt(0));
            if (digits.length() > 1) {
                out.append('.').append(digits, 1, digits.length());
            }
            int size = Math.abs(exponent);
            return out.append('e').append(exponent < 0 ? '-' : '+').append(size < 10 ? "0" : "").append(size).toString();
        }
        String plain = shortest.toPlainString();
        return out.append(plain).append(plain.indexOf('.') < 0 ? ".0" : "").toString();
    }

    private static BigDecimal shortest(double value) {
        BigDecimal exact = new BigDecimal(value);
        // 15 digits are enough for every decimal of at most 15 digits, except among the subnormal numbers.
        for (int digits = value < Double.MIN_NORMAL ? 1 : 15; digits < 17; digits++) {
            BigDecimal rounded = exact.round(new MathContext(digits, RoundingMode.HALF_EVEN));
            if (rounded.doubleValue() == value) {
                return rounded;
            }
        }
        return exact.round(new MathContext(17, RoundingMode.HALF_EVEN));
    }
}
