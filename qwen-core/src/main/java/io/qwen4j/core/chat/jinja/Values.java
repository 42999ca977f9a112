package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/** What Python does with values: truth, equality, order, membership, iteration. */
final class Values {
    /** Nesting of values that are compared or printed; Python's own recursion limit is about 1,000. */
    static final int MAX_NESTING = 500;

    /** Lists that hold the same list twice, many levels deep, are small in memory and endless to walk. */
    private static final int MAX_COMPARED = 1_000_000;

    private Values() {}

    static boolean truth(Object value) {
        if (value == null || value instanceof Undefined) {
            return false;
        }
        if (value instanceof Boolean flag) {
            return flag;
        }
        if (value instanceof Text text) {
            return !text.isEmpty();
        }
        if (Numbers.isNumber(value)) {
            return Numbers.isNonZero(value);
        }
        if (value instanceof Seq seq) {
            return !seq.items().isEmpty();
        }
        if (value instanceof Dict dict) {
            return dict.size() > 0;
        }
        return true;
    }

    static boolean equal(Object a, Object b) {
        return equal(a, b, 0, new int[] {MAX_COMPARED});
    }

    private static boolean equal(Object a, Object b, int depth, int[] left) {
        if (depth > MAX_NESTING || --left[0] < 0) {
            throw new TemplateException("the chat template compares values nested deeper than " + MAX_NESTING + " or of more than "
                    + MAX_COMPARED + " elements");
        }
        if (a == b) {
            return !(a instanceof Double number && number.isNaN());
        }
        if (a == null || b == null) {
            return false;
        }
        if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
            return Numbers.isOrdered(a, b) && Numbers.compare(a, b) == 0;
        }
        if (a instanceof Text || a instanceof Boolean) {
            return a.equals(b);
        }
        if (a instanceof Seq x && b instanceof Seq y) {
            if (x.kind() != y.kind() || x.items().size() != y.items().size()) {
                return false;
            }
            Iterator<Object> other = y.items().iterator();
            for (Object item : x.items()) {
                if (!equal(item, other.next(), depth + 1, left)) {
                    return false;
                }
            }
            return true;
        }
        if (a instanceof Dict x && b instanceof Dict y) {
            if (x.size() != y.size()) {
                return false;
            }
            for (Dict.Entry entry : x.entries()) {
                if (!y.has(entry.key()) || !equal(entry.value(), y.get(entry.key(), null), depth + 1, left)) {
                    return false;
                }
            }
            return true;
        }
        return a instanceof Undefined && b instanceof Undefined;
    }

    /** Order of two values; a type that Python does not order is an error. */
    static int compare(Object a, Object b, String operator) {
        return compare(a, b, operator, 0);
    }

    private static int compare(Object a, Object b, String operator, int depth) {
        if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
            return Numbers.compare(a, b);
        }
        if (a instanceof Text x && b instanceof Text y) {
            return compareByPoint(x.chars(), y.chars());
        }
        if (a instanceof Seq x && b instanceof Seq y && x.kind() == y.kind() && x.indexable() && depth < MAX_NESTING) {
            int common = Math.min(x.items().size(), y.items().size());
            for (int i = 0; i < common; i++) {
                if (!equal(x.items().get(i), y.items().get(i))) {
                    return compare(x.items().get(i), y.items().get(i), operator, depth + 1);
                }
            }
            return Integer.compare(x.items().size(), y.items().size());
        }
        throw unsupported(operator, a, b);
    }

    /** UTF-16 order differs from that of code points once surrogates meet U+E000 to U+FFFF. */
    private static int compareByPoint(String a, String b) {
        int common = Math.min(a.length(), b.length());
        for (int i = 0; i < common; i++) {
            char x = a.charAt(i);
            char y = b.charAt(i);
            if (x != y) {
                boolean highX = Character.isSurrogate(x);
                boolean highY = Character.isSurrogate(y);
                return highX == highY ? Character.compare(x, y) : highX ? 1 : -1;
            }
        }
        return Integer.compare(a.length(), b.length());
    }

    static boolean contains(Object container, Object item) {
        if (container instanceof Text text) {
            if (item instanceof Text part) {
                return text.chars().contains(part.chars());
            }
            defined(item);
            throw new TemplateException("'in' of the chat template needs a string on the left of a string, found " + typeName(item));
        }
        if (container instanceof Dict dict) {
            return dict.has(item);
        }
        for (Object candidate : iterate(container)) {
            if (equal(candidate, item)) {
                return true;
            }
        }
        return false;
    }

    static List<Object> iterate(Object value) {
        if (value instanceof Seq seq) {
            return seq.items();
        }
        if (value instanceof Dict dict) {
            return dict.keys();
        }
        if (value instanceof Generated generated) {
            return generated.take();
        }
        if (value instanceof Text text) {
            List<Object> points = new ArrayList<>(text.length());
            String chars = text.chars();
            for (int i = 0; i < chars.length(); ) {
                int next = i + Character.charCount(chars.codePointAt(i));
                points.add(text.sub(i, next));
                i = next;
            }
            return points;
        }
        if (value instanceof Undefined) {
            return List.of();
        }
        throw new TemplateException("the chat template iterates over " + typeName(value) + ", which has no elements");
    }

    static boolean isIterable(Object value) {
        return value instanceof Seq
                || value instanceof Dict
                || value instanceof Generated
                || value instanceof Text
                || value instanceof Undefined;
    }

    static long length(Object value) {
        if (value instanceof Text text) {
            return text.points();
        }
        if (value instanceof Seq seq) {
            return seq.items().size();
        }
        if (value instanceof Dict dict) {
            return dict.size();
        }
        if (value instanceof Undefined) {
            return 0;
        }
        throw new TemplateException("the chat template asks for the length of " + typeName(value) + ", which has none");
    }

    /** Refuses undefined values. */
    static Object defined(Object value) {
        if (value instanceof Undefined undefined) {
            throw undefined.error();
        }
        return value;
    }

    static int index(Object value, String user) {
        if (value instanceof Boolean flag) {
            return flag ? 1 : 0;
        }
        if (value instanceof Long number) {
            return (int) Math.max(Integer.MIN_VALUE, Math.min(Integer.MAX_VALUE, number));
        }
        if (value instanceof BigInteger big) {
            return big.signum() < 0 ? Integer.MIN_VALUE : Integer.MAX_VALUE;
        }
        defined(value);
        throw new TemplateException(user + " in the chat template needs an integer, found " + typeName(value));
    }

    static String typeName(Object value) {
        if (value == null) {
            return "None";
        }
        if (value instanceof Text) {
            return "a string";
        }
        if (value instanceof Boolean) {
            return "a boolean";
        }
        if (value instanceof Double) {
            return "a float";
        }
        if (Numbers.isNumber(value)) {
            return "an integer";
        }
        if (value instanceof Seq seq) {
            return seq.kind() == Seq.Kind.TUPLE ? "a tuple" : "a list";
        }
        if (value instanceof Dict) {
            return "a dictionary";
        }
        if (value instanceof Undefined) {
            return "an undefined value";
        }
        return value instanceof Function ? "a function" : "an object";
    }

    static TemplateException unsupported(String operator, Object a, Object b) {
        defined(a);
        defined(b);
        return new TemplateException(
                "'" + operator + "' in the chat template is not supported between " + typeName(a) + " and " + typeName(b));
    }
}
