package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** The filters on sequences. */
final class SequenceFilters {
    private SequenceFilters() {}

    static Filters.@Nullable Body find(String name) {
        return switch (name) {
            case "length", "count" -> (e, v, a) -> Values.length(v);
            case "list" -> (e, v, a) -> Seq.list(new ArrayList<>(Values.iterate(v)));
            case "first" -> SequenceFilters::first;
            case "last" -> SequenceFilters::last;
            case "join" -> SequenceFilters::join;
            case "reverse" -> SequenceFilters::reverse;
            case "sort" -> SequenceFilters::sort;
            case "unique" -> SequenceFilters::unique;
            case "min" -> (e, v, a) -> extreme(e, v, a, -1);
            case "max" -> (e, v, a) -> extreme(e, v, a, 1);
            case "sum" -> SequenceFilters::sum;
            case "map" -> SequenceFilters::map;
            case "select" -> (e, v, a) -> select(e, v, a, true, false);
            case "reject" -> (e, v, a) -> select(e, v, a, false, false);
            case "selectattr" -> (e, v, a) -> select(e, v, a, true, true);
            case "rejectattr" -> (e, v, a) -> select(e, v, a, false, true);
            case "items" -> SequenceFilters::items;
            case "dictsort" -> SequenceFilters::dictSort;
            case "batch" -> SequenceFilters::batch;
            case "slice" -> SequenceFilters::slices;
            default -> null;
        };
    }

    private static List<Object> elements(Evaluation evaluation, Object value) {
        List<Object> items = Values.iterate(value);
        evaluation.charge(items.size());
        return items;
    }

    /** Some filters take everything that is false for empty. */
    private static List<Object> elementsIfTrue(Evaluation evaluation, Object value) {
        return Values.truth(value) ? elements(evaluation, value) : List.of();
    }

    private static Object first(Evaluation evaluation, Object value, Arguments arguments) {
        Undefined none = new Undefined("the first element of an empty sequence");
        if (value instanceof Generated generated) {
            return generated.next(none);
        }
        if (value instanceof Text text && !text.isEmpty()) {
            return text.sub(0, text.chars().offsetByCodePoints(0, 1));
        }
        List<Object> items = Values.iterate(value);
        return items.isEmpty() ? none : items.get(0);
    }

    private static Object last(Evaluation evaluation, Object value, Arguments arguments) {
        if (value instanceof Generated) {
            throw new TemplateException("last in the chat template needs a sequence; make a list of it first");
        }
        if (value instanceof Text text && !text.isEmpty()) {
            return text.sub(text.chars().offsetByCodePoints(text.length(), -1), text.length());
        }
        List<Object> items = Values.iterate(value);
        return items.isEmpty() ? new Undefined("the last element of an empty sequence") : items.get(items.size() - 1);
    }

    private static Object join(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "d", "attribute");
        Text separator = Printer.str(evaluation, arguments.get(0, "d", Text.EMPTY));
        UnaryOperator<Object> key = getter(arguments.get(1, "attribute", null), null);
        List<Object> parts = new ArrayList<>();
        for (Object item : elements(evaluation, value)) {
            parts.add(Printer.str(evaluation, key.apply(item)));
        }
        return Strings.join(evaluation, separator, parts);
    }

    private static Object reverse(Evaluation evaluation, Object value, Arguments arguments) {
        List<Object> items = new ArrayList<>(elements(evaluation, value));
        Collections.reverse(items);
        return value instanceof Text ? Strings.join(evaluation, Text.EMPTY, items) : new Generated(items);
    }

    /** Reads an attribute such as {@code function.name} or {@code 0}, or the element itself if there is none. */
    private static UnaryOperator<Object> getter(@Nullable Object attribute, @Nullable Object otherwise) {
        if (attribute == null) {
            return UnaryOperator.identity();
        }
        List<Object> path = new ArrayList<>();
        if (attribute instanceof Text text) {
            for (Object part : Strings.split(text, ".", -1)) {
                Object index = part.toString().chars().allMatch(c -> c >= '0' && c <= '9') ? Parsing.integer(part.toString(), 10) : null;
                path.add(index == null ? part : index);
            }
        } else {
            path.add(attribute);
        }
        return item -> {
            Object found = item;
            for (Object part : path) {
                found = Access.item(found, part);
                if (found instanceof Undefined && otherwise != null) {
                    found = otherwise;
                }
            }
            return found;
        };
    }

    private static UnaryOperator<Object> caseKey(Evaluation evaluation, UnaryOperator<Object> getter, boolean sensitive) {
        return item -> {
            Object key = getter.apply(item);
            return !sensitive && key instanceof Text text ? Strings.map(evaluation, text, Strings::lower) : key;
        };
    }

    private static Object sort(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "reverse", "case_sensitive", "attribute");
        List<Object> items = elements(evaluation, value);
        Object attribute = arguments.get(2, "attribute", null);
        List<UnaryOperator<Object>> keys = new ArrayList<>();
        for (Object part : attribute instanceof Text text ? Strings.split(text, ",", -1) : Collections.singletonList(attribute)) {
            keys.add(caseKey(evaluation, getter(part, null), arguments.flag(1, "case_sensitive", false)));
        }
        Comparator<Object> order = (a, b) -> {
            for (UnaryOperator<Object> key : keys) {
                int decided = Values.compare(key.apply(a), key.apply(b), "<");
                if (decided != 0) {
                    return decided;
                }
            }
            return 0;
        };
        return Seq.list(sorted(evaluation, items, order, arguments.flag(0, "reverse", false)));
    }

    private static List<Object> sorted(Evaluation evaluation, List<Object> items, Comparator<Object> order, boolean reverse) {
        List<Object> sorted = new ArrayList<>(items);
        // n log n comparisons, each of which may walk a string.
        evaluation.charge((long) items.size() * (32 - Integer.numberOfLeadingZeros(items.size())));
        sorted.sort(reverse ? order.reversed() : order);
        return sorted;
    }

    private static Object unique(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "case_sensitive", "attribute");
        UnaryOperator<Object> key =
                caseKey(evaluation, getter(arguments.get(1, "attribute", null), null), arguments.flag(0, "case_sensitive", false));
        Dict seen = new Dict();
        List<Object> kept = new ArrayList<>();
        for (Object item : elements(evaluation, value)) {
            Object k = key.apply(item);
            if (!seen.has(k)) {
                seen.put(k, true);
                kept.add(item);
            }
        }
        return new Generated(kept);
    }

    private static Object extreme(Evaluation evaluation, Object value, Arguments arguments, int sign) {
        arguments.check(0, "case_sensitive", "attribute");
        UnaryOperator<Object> key =
                caseKey(evaluation, getter(arguments.get(1, "attribute", null), null), arguments.flag(0, "case_sensitive", false));
        Object best = new Undefined("the smallest or largest element of an empty sequence");
        boolean first = true;
        for (Object item : elements(evaluation, value)) {
            if (first || Values.compare(key.apply(item), key.apply(best), "<") * sign > 0) {
                best = item;
                first = false;
            }
        }
        return best;
    }

    private static Object sum(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "attribute", "start");
        UnaryOperator<Object> key = getter(arguments.get(0, "attribute", null), null);
        Object total = arguments.get(1, "start", 0L);
        if (total instanceof Text) {
            throw new TemplateException("sum in the chat template does not add strings");
        }
        for (Object item : elements(evaluation, value)) {
            total = Operators.binary(evaluation, "+", total, key.apply(item));
        }
        return total;
    }

    private static Object map(Evaluation evaluation, Object value, Arguments arguments) {
        List<Object> items = elementsIfTrue(evaluation, value);
        List<Object> mapped = new ArrayList<>(items.size());
        if (arguments.positional().isEmpty() && arguments.named().containsKey("attribute")) {
            for (String name : arguments.named().keySet()) {
                if (!name.equals("attribute") && !name.equals("default")) {
                    throw new TemplateException("map in the chat template has no parameter " + name);
                }
            }
            UnaryOperator<Object> key = getter(arguments.named().get("attribute"), arguments.named().get("default"));
            items.forEach(item -> mapped.add(key.apply(item)));
            return new Generated(mapped);
        }
        if (arguments.positional().isEmpty() || !(arguments.positional().get(0) instanceof Text name)) {
            throw new TemplateException("map in the chat template needs the name of a filter or attribute=");
        }
        Filters.Body filter = Filters.find(name.chars());
        if (filter == null) {
            throw new TemplateException("the chat template uses the filter " + Printer.quote(name.chars()) + ", which is not supported");
        }
        Arguments rest =
                new Arguments(name.chars(), arguments.positional().subList(1, arguments.positional().size()), arguments.named());
        for (Object item : items) {
            mapped.add(evaluation.made(filter.apply(evaluation, item, rest)));
        }
        return new Generated(mapped);
    }

    private static Object select(Evaluation evaluation, Object value, Arguments arguments, boolean keep, boolean byAttribute) {
        List<Object> given = arguments.positional();
        UnaryOperator<Object> key = UnaryOperator.identity();
        int next = 0;
        if (byAttribute) {
            if (given.isEmpty()) {
                throw new TemplateException(arguments.of() + " in the chat template needs the name of an attribute");
            }
            key = getter(given.get(next++), null);
        }
        Tests.Body test = (v, a) -> Values.truth(v);
        String name = "truth";
        if (next < given.size()) {
            name = String.valueOf(given.get(next++));
            test = Tests.find(name);
            if (test == null) {
                throw new TemplateException("the chat template uses the test " + Printer.quote(name) + ", which is not supported");
            }
        }
        Arguments rest = new Arguments(name, given.subList(next, given.size()), arguments.named());
        List<Object> kept = new ArrayList<>();
        for (Object item : elementsIfTrue(evaluation, value)) {
            if (test.holds(key.apply(item), rest) == keep) {
                kept.add(item);
            }
        }
        return new Generated(kept);
    }

    private static Object items(Evaluation evaluation, Object value, Arguments arguments) {
        if (value instanceof Undefined) {
            return new Generated(List.of());
        }
        if (!(value instanceof Dict dict)) {
            throw new TemplateException("items in the chat template needs a dictionary, found " + Values.typeName(value));
        }
        evaluation.charge(dict.size());
        return new Generated(dict.items());
    }

    private static Object dictSort(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "case_sensitive", "by", "reverse");
        if (!(Values.defined(value) instanceof Dict dict)) {
            throw new TemplateException("dictsort in the chat template needs a dictionary, found " + Values.typeName(value));
        }
        String by = arguments.text(1, "by", Text.trusted("key")).chars();
        if (!by.equals("key") && !by.equals("value")) {
            throw new TemplateException("dictsort in the chat template sorts by key or value, found " + Printer.quote(by));
        }
        boolean sensitive = arguments.flag(0, "case_sensitive", false);
        UnaryOperator<Object> key = caseKey(evaluation, getter(by.equals("key") ? 0L : 1L, null), sensitive);
        Comparator<Object> order = (a, b) -> Values.compare(key.apply(a), key.apply(b), "<");
        return Seq.list(sorted(evaluation, dict.items(), order, arguments.flag(2, "reverse", false)));
    }

    private static Object batch(Evaluation evaluation, Object value, Arguments arguments) {
        int size = Math.max(1, arguments.check(1, "linecount", "fill_with").integer(0, "linecount", 1));
        Object fill = arguments.get(1, "fill_with", null);
        List<Object> items = elements(evaluation, value);
        List<Object> batches = new ArrayList<>();
        for (int from = 0; from < items.size(); from += size) {
            List<Object> batch = new ArrayList<>(items.subList(from, (int) Math.min(items.size(), (long) from + size)));
            if (fill != null) {
                evaluation.charge(size - batch.size());
                while (batch.size() < size) {
                    batch.add(fill);
                }
            }
            batches.add(Seq.list(batch));
            if (from > Integer.MAX_VALUE - size) {
                break;
            }
        }
        return new Generated(batches);
    }

    private static Object slices(Evaluation evaluation, Object value, Arguments arguments) {
        int count = arguments.check(1, "slices", "fill_with").integer(0, "slices", 1);
        Object fill = arguments.get(1, "fill_with", null);
        List<Object> items = elements(evaluation, value);
        if (count < 1) {
            throw new TemplateException("slice in the chat template needs at least one slice");
        }
        evaluation.charge(count);
        List<Object> slices = new ArrayList<>();
        int size = items.size() / count;
        int longer = items.size() % count;
        int from = 0;
        for (int i = 0; i < count; i++) {
            int to = from + size + (i < longer ? 1 : 0);
            List<Object> slice = new ArrayList<>(items.subList(from, to));
            if (fill != null && i >= longer) {
                slice.add(fill);
            }
            slices.add(Seq.list(slice));
            from = to;
        }
        return new Generated(slices);
    }
}
