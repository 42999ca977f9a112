package io.qwen4j.core.ops;

import java.nio.FloatBuffer;

/** {@link Ops#selectLogits} on the host: its definition. */
final class PlainSelection {
    private PlainSelection() {}

    static void select(Activation logits, LogitSelection selection) {
        FloatBuffer values = logits.buffer();
        FloatBuffer found = selection.found().buffer();
        for (int request = 0; request < selection.requests(); request++) {
            int row = selection.request(request, LogitSelection.ROW);
            if (row >= logits.rows() || selection.sampleable() > logits.columns()) {
                throw new IllegalArgumentException("candidates of row " + row + ", there are " + logits.rows() + " rows of "
                        + logits.columns() + " logits");
            }
            select(values, row * logits.columns(), logits.columns(), selection, request, found);
        }
    }

    private static void select(FloatBuffer values, int from, int columns, LogitSelection selection, int request, FloatBuffer found) {
        int cell = selection.request(request, LogitSelection.CELL);
        int most = selection.request(request, LogitSelection.COUNT);
        int ids = cell + LogitSelection.FOUND_HEAD;
        int apart = selection.request(request, LogitSelection.FIRST_APART);
        int apartEnd = selection.apartEnd(request);
        int size = 0;
        found.put(cell + LogitSelection.REFUSED, -1);
        for (int id = 0; id < columns; id++) {
            float logit = values.get(from + id);
            if (!(logit < Float.POSITIVE_INFINITY) && found.get(cell + LogitSelection.REFUSED) < 0) {
                found.put(cell + LogitSelection.REFUSED, id);
                found.put(cell + LogitSelection.REFUSED_LOGIT, logit);
            }
            if (apart < apartEnd && selection.apartId(apart) == id) {
                found.put(selection.apartCell() + apart++, logit);
            } else if (id < selection.sampleable() && logit > Float.NEGATIVE_INFINITY) {
                size = insert(found, ids, most, size, id, logit);
            }
        }
        if (apart < apartEnd) {
            throw new IllegalArgumentException("ids apart must rise and be below " + columns + ", found " + selection.apartId(apart));
        }
        found.put(cell + LogitSelection.SIZE, size);
        double sum = sum(values, from, selection, request, size == 0 ? 0 : found.get(ids + most));
        found.put(cell + LogitSelection.SUM_HIGH, (float) sum);
        found.put(cell + LogitSelection.SUM_LOW, (float) (sum - (float) sum));
    }

    /** Adds to the first ones, which stand in order; ids come in rising order. Returns how many there are then. */
    private static int insert(FloatBuffer found, int ids, int most, int size, int id, float logit) {
        int logits = ids + most;
        if (size == most && !(logit > found.get(logits + size - 1))) {
            return size;
        }
        int at = size < most ? size : size - 1;
        for (; at > 0 && logit > found.get(logits + at - 1); at--) {
            found.put(ids + at, found.get(ids + at - 1));
            found.put(logits + at, found.get(logits + at - 1));
        }
        found.put(ids + at, id);
        found.put(logits + at, logit);
        return Math.min(most, size + 1);
    }

    private static double sum(FloatBuffer values, int from, LogitSelection selection, int request, float greatest) {
        double temperature = Float.intBitsToFloat(selection.request(request, LogitSelection.TEMPERATURE));
        double sum = 0;
        int apart = selection.request(request, LogitSelection.FIRST_APART);
        for (int id = 0; id < selection.sampleable() && temperature > 0; id++) {
            if (apart < selection.apartEnd(request) && selection.apartId(apart) == id) {
                apart++;
            } else {
                sum += Math.exp(((double) values.get(from + id) - greatest) / temperature);
            }
        }
        return sum;
    }
}
