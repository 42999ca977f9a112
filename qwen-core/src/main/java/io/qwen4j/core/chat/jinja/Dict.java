package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A dictionary in insertion order with Python's idea of equal keys. Filled by its maker, then never changed. */
public final class Dict {
    /** A key as it was first given, and its value. */
    record Entry(Object key, Object value) {}

    private static final Object NONE = new Object();

    private final Map<Object, Entry> entries = new LinkedHashMap<>();

    /** Sets a value; an equal key keeps its place and spelling. */
    public Dict put(Object key, Object value) {
        Object normal = normal(key);
        Entry old = entries.get(normal);
        entries.put(normal, new Entry(old == null ? key : old.key(), value));
        return this;
    }

    /** Sets the value of a key that the program wrote. */
    public Dict put(String key, Object value) {
        return put(Text.trusted(key), value);
    }

    Dict putAll(Dict other) {
        for (Entry entry : other.entries()) {
            put(entry.key(), entry.value());
        }
        return this;
    }

    /** Whether there is such a key. */
    public boolean has(Object key) {
        return entries.containsKey(normal(key));
    }

    /** The value of a key, or another one if there is none. */
    public Object get(Object key, Object otherwise) {
        Entry entry = entries.get(normal(key));
        return entry == null ? otherwise : entry.value();
    }

    Collection<Entry> entries() {
        return entries.values();
    }

    int size() {
        return entries.size();
    }

    /** The keys in order. */
    public List<Object> keys() {
        List<Object> keys = new ArrayList<>(size());
        entries().forEach(entry -> keys.add(entry.key()));
        return keys;
    }

    List<Object> values() {
        List<Object> values = new ArrayList<>(size());
        entries().forEach(entry -> values.add(entry.value()));
        return values;
    }

    List<Object> items() {
        List<Object> items = new ArrayList<>(size());
        entries().forEach(entry -> items.add(Seq.pair(entry.key(), entry.value())));
        return items;
    }

    /** The hash key: 1, 1.0 and True are the same key. */
    private static Object normal(Object key) {
        if (key == null) {
            return NONE;
        }
        if (key instanceof Text text) {
            return text.chars();
        }
        if (key instanceof Boolean flag) {
            return flag ? 1L : 0L;
        }
        if (key instanceof BigInteger big) {
            return big.bitLength() < 64 ? (Object) big.longValue() : big;
        }
        if (key instanceof Double number) {
            if (number == Math.rint(number) && !Double.isInfinite(number)) {
                return normal(new BigDecimal(number).toBigInteger());
            }
            return number;
        }
        if (key instanceof Seq seq && seq.kind() == Seq.Kind.TUPLE) {
            List<Object> items = new ArrayList<>(seq.items().size());
            for (Object item : seq.items()) {
                if (item instanceof Seq) {
                    throw new TemplateException("a key of a dictionary in a chat template nests tuples, which is not supported");
                }
                items.add(normal(item));
            }
            return items;
        }
        if (key instanceof Seq || key instanceof Dict) {
            throw new TemplateException("a list or dictionary cannot be a key of a dictionary");
        }
        return key;
    }
}
