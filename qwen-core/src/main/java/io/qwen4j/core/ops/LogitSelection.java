package io.qwen4j.core.ops;

import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;

/**
 * What is asked of rows of logits, and what {@link Ops#selectLogits} found: the greatest logits of each row with their ids, and the logits of
 * ids that the caller treats himself. Made once and reused; both sides see its memory.
 *
 * <p>A step asks ({@link #begin}, {@link #add}, {@link #setApart}), selects, and reads. Reading brings the newest values from a device.
 *
 * <p>Not thread-safe: the engine thread owns it.
 */
public final class LogitSelection implements AutoCloseable {
    /** Most candidates of a row. */
    public static final int MOST_CANDIDATES = 256;
    /** Ids are found as floats, which hold integers below this. */
    private static final int MOST_ROWS_OF_VOCABULARY = 1 << 24;

    // Layout of what is asked, as common/selection.h: a head of five, five integers for each request, the ids that stand apart.
    static final int REQUESTS = 0;
    static final int SAMPLEABLE = 1;
    static final int APART = 2;
    static final int APART_CELL = 3;
    static final int MAX_ROWS = 4;
    static final int HEAD = 5;

    static final int ROW = 0;
    static final int COUNT = 1;
    static final int TEMPERATURE = 2;
    static final int FIRST_APART = 3;
    static final int CELL = 4;
    static final int REQUEST = 5;

    // Layout of what is found for a request, from its cell on; ids and then logits follow. Logits of ids apart are behind all requests.
    static final int REFUSED = 0;
    static final int REFUSED_LOGIT = 1;
    static final int SIZE = 2;
    static final int SUM_HIGH = 3;
    static final int SUM_LOW = 4;
    static final int FOUND_HEAD = 5;

    /** Cells of a row of what is found: only rows in use are brought to the host. */
    private static final int CELL_COLUMNS = 64;

    private final int maxRows;
    private final int maxApart;
    private final Ints asked;
    private final IntBuffer data;
    private final Activation found;
    private final FloatBuffer cells;
    /** By row of logits: its request, or -1. */
    private final int[] requests;

    private int count;
    private int apart;
    private int usedCells;
    private boolean looked;

    /**
     * Makes a selection that asks for nothing.
     *
     * @param maxRows most rows of logits
     * @param maxApart most ids that stand apart, of all rows together
     * @param vocabularyRows V, at most 2<sup>24</sup>
     * @param sampleable ids from here on are no candidates, 1 to V
     */
    public LogitSelection(Ops ops, int maxRows, int maxApart, int vocabularyRows, int sampleable) {
        if (maxRows < 1 || maxApart < 0 || sampleable < 1 || sampleable > vocabularyRows || vocabularyRows > MOST_ROWS_OF_VOCABULARY) {
            throw new IllegalArgumentException("candidates of " + maxRows + " rows and " + maxApart + " ids apart, " + sampleable + " of "
                    + vocabularyRows + " ids");
        }
        this.maxRows = maxRows;
        this.maxApart = maxApart;
        requests = new int[maxRows];
        asked = ops.ints(Math.toIntExact(askedInts(maxRows, maxApart)));
        try {
            found = ops.activation(Math.toIntExact(foundRows(maxRows, maxApart)), CELL_COLUMNS);
        } catch (Throwable e) {
            asked.close();
            throw e;
        }
        data = asked.buffer();
        cells = found.buffer();
        data.put(SAMPLEABLE, sampleable);
        data.put(MAX_ROWS, maxRows);
        begin();
    }

    private static long askedInts(int maxRows, int maxApart) {
        return HEAD + (long) REQUEST * maxRows + maxApart;
    }

    private static long foundRows(int maxRows, int maxApart) {
        long most = (FOUND_HEAD + 2L * MOST_CANDIDATES) * maxRows + maxApart;
        return (most + CELL_COLUMNS - 1) / CELL_COLUMNS;
    }

    /** Memory that it takes, in bytes. */
    public static long bytes(int maxRows, int maxApart) {
        return 4 * (askedInts(maxRows, maxApart) + CELL_COLUMNS * foundRows(maxRows, maxApart));
    }

    /** Forgets what was asked. */
    public void begin() {
        Arrays.fill(requests, -1);
        count = 0;
        apart = 0;
        usedCells = 0;
        looked = false;
        data.put(REQUESTS, 0);
        data.put(APART, 0);
        data.put(APART_CELL, 0);
    }

    /**
     * Asks for candidates of a row.
     *
     * @param row the row of logits, above those that were added
     * @param candidates how many of the greatest logits, 1 to {@link #MOST_CANDIDATES}
     * @param temperature above 0 if {@link #sum} is wanted, else 0
     */
    public void add(int row, int candidates, float temperature) {
        if (row < 0 || row >= maxRows || count > 0 && row <= request(count - 1, ROW) || candidates < 1 || candidates > MOST_CANDIDATES
                || !(temperature >= 0)) {
            throw new IllegalArgumentException(
                    candidates + " candidates of row " + row + " of " + maxRows + " at the temperature " + temperature);
        }
        int at = HEAD + count * REQUEST;
        data.put(at + ROW, row);
        data.put(at + COUNT, candidates);
        data.put(at + TEMPERATURE, Float.floatToRawIntBits(temperature));
        data.put(at + FIRST_APART, apart);
        data.put(at + CELL, usedCells);
        usedCells += FOUND_HEAD + 2 * candidates;
        requests[row] = count++;
        data.put(REQUESTS, count);
        data.put(APART_CELL, usedCells);
    }

    /**
     * Makes an id of the row that was added last no candidate: its logit is found by itself.
     *
     * @param id a row of the vocabulary, above those of this row that stand apart
     * @return whether there was room for it
     */
    public boolean setApart(int id) {
        if (apart == maxApart) {
            return false;
        }
        data.put(HEAD + REQUEST * maxRows + apart++, id);
        data.put(APART, apart);
        return true;
    }

    /** Takes back what was added last. */
    public void removeLast() {
        int at = HEAD + --count * REQUEST;
        requests[data.get(at + ROW)] = -1;
        apart = data.get(at + FIRST_APART);
        usedCells = data.get(at + CELL);
        data.put(REQUESTS, count);
        data.put(APART, apart);
        data.put(APART_CELL, usedCells);
    }

    /** Whether anything is asked for. */
    public boolean isEmpty() {
        return count == 0;
    }

    /** Whether anything is asked of a row. */
    public boolean has(int row) {
        return requests[row] >= 0;
    }

    /** The lowest id below V whose logit is NaN or positive infinity, or -1. If there is one, nothing else of the row is of a meaning. */
    public int refused(int row) {
        return (int) cell(row, REFUSED);
    }

    /** The logit of {@link #refused}. */
    public float refusedLogit(int row) {
        return cell(row, REFUSED_LOGIT);
    }

    /** Number of candidates: as many as were asked for, or all there are. */
    public int size(int row) {
        return (int) cell(row, SIZE);
    }

    /** A candidate: the greater logit first, of equal ones the lower id. Negative infinity is none. */
    public int id(int row, int index) {
        return (int) cell(row, FOUND_HEAD + index);
    }

    /** The logit of a candidate. */
    public float logit(int row, int index) {
        return cell(row, FOUND_HEAD + request(requests[row], COUNT) + index);
    }

    /**
     * The sum of {@code exp((logit - greatest) / temperature)} over all sampleable ids that do not stand apart; greatest is the logit of the first
     * candidate. Its terms are added in an order of the backend's: the relative error is below {@code (V + 64) 2^-52}.
     */
    public double sum(int row) {
        return (double) cell(row, SUM_HIGH) + cell(row, SUM_LOW);
    }

    /** Number of ids of a row that stand apart. */
    public int apart(int row) {
        return apartEnd(requests[row]) - request(requests[row], FIRST_APART);
    }

    /** An id that stands apart, in rising order. */
    public int apartId(int row, int index) {
        return apartId(request(requests[row], FIRST_APART) + index);
    }

    /** The logit of an id that stands apart. */
    public float apartLogit(int row, int index) {
        return value(usedCells + request(requests[row], FIRST_APART) + index);
    }

    private float cell(int row, int offset) {
        return value(request(requests[row], CELL) + offset);
    }

    private float value(int cell) {
        if (!looked) {
            found.buffer();
            looked = true;
        }
        return cells.get(cell);
    }

    /** The memory that a backend reads. */
    public Ints memory() {
        return asked;
    }

    /** The memory that a backend writes. */
    public Activation found() {
        return found;
    }

    int requests() {
        return data.get(REQUESTS);
    }

    int sampleable() {
        return data.get(SAMPLEABLE);
    }

    int request(int request, int field) {
        return data.get(HEAD + request * REQUEST + field);
    }

    int apartEnd(int request) {
        return request + 1 < data.get(REQUESTS) ? request(request + 1, FIRST_APART) : data.get(APART);
    }

    int apartId(int index) {
        return data.get(HEAD + REQUEST * maxRows + index);
    }

    int apartCell() {
        return data.get(APART_CELL);
    }

    @Override
    public void close() {
        asked.close();
        found.close();
    }
}
