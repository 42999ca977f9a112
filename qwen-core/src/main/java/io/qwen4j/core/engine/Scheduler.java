package io.qwen4j.core.engine;

import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.cache.PageTable;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Decides which tokens of which sequences make up the next step. Belongs to the engine thread; allocates nothing per step.
 *
 * <p>The policy: sequences are admitted in the order of arrival while a place is free and there are pages for what is known of the
 * sequence and one token more, and for one more page of every running one. A step takes one token of every running sequence that decodes,
 * and of the prompts, oldest first, as many tokens as a slice holds; a sparse prompt has a whole slice of its own, or none. A sequence that
 * needs a page when none is free takes one from a paused or waiting sequence, else from the youngest running one, which waits and is
 * computed again later; the youngest one itself steps back. No request can be longer than the pool, so the oldest one always gets on,
 * finishes, and makes the next one the oldest: there is no deadlock, and no request fails for lack of pages.
 *
 * <p>Foreseen tokens fill a step that is small otherwise: of up to {@value #DRAFTING_SEQUENCES} sequences, up to
 * {@value #DRAFTING_TOKENS} tokens, which those that decode share. They take only pages that are free, and give back those that they did
 * not need before the next step is planned.
 *
 * <p>A sequence whose reader is slow is paused: it gives up its place, and keeps its pages only while nobody needs them.
 */
final class Scheduler {
    /** With AVX2 a step of 8 tokens takes 2.4 times as long as one of 1; from there on a token more costs as much as it can save. */
    static final int DRAFTING_TOKENS = 8;
    /** Beside more sequences than these no token is likely enough, see {@link DraftLength#WORTH}. */
    static final int DRAFTING_SEQUENCES = 3;

    private final KvPages pool;
    private final int maxRunning;
    private final int prefillSlice;
    private final Places places;

    /** Never admitted yet, by arrival. */
    private final ArrayDeque<Sequence> fresh = new ArrayDeque<>();
    /** Preempted or resumed, by arrival; all older than the fresh ones. */
    private final ArrayList<Sequence> returning = new ArrayList<>();
    /** By arrival. */
    private final ArrayList<Sequence> running = new ArrayList<>();
    /** By arrival. */
    private final ArrayList<Sequence> paused = new ArrayList<>();

    private long preemptions;
    private int drafted;

    /** Hears which sequences are paused, and so take no place that counts. */
    interface Places {
        void paused(Sequence s);

        void resumed(Sequence s);
    }

    Scheduler(KvPages pool, int maxRunning, int prefillSlice, Places places) {
        this.pool = pool;
        this.maxRunning = maxRunning;
        this.prefillSlice = prefillSlice;
        this.places = places;
    }

    void add(Sequence s) {
        fresh.addLast(s);
    }

    int running() {
        return running.size();
    }

    int paused() {
        return paused.size();
    }

    int waiting() {
        return fresh.size() + returning.size();
    }

    int usedPages() {
        return pool.used();
    }

    long preemptions() {
        return preemptions;
    }

    Sequence running(int i) {
        return running.get(i);
    }

    /** Foreseen tokens of the step that was planned last. */
    int drafted() {
        return drafted;
    }

    /**
     * Plans a step: sets {@link Sequence#planned} and {@link Sequence#drafted} of the running sequences and reserves their pages.
     *
     * @return number of known tokens
     */
    int plan() {
        resume();
        pause();
        admit();
        int budget = prefillSlice;
        int total = 0;
        for (int i = 0; i < running.size(); i++) {
            Sequence s = running.get(i);
            s.planned = 0;
            s.drafted = 0;
            boolean decoding = s.decoding();
            int wanted = Math.min(s.length - s.computed, s.maxSlice());
            int count = decoding ? wanted : s.sparseRest() > 0 ? wholeSlice(s, budget) : Math.min(wanted, budget);
            if (count > 0 && reserve(s, s.computed + count)) {
                s.planned = count;
                total += count;
                if (!decoding) {
                    budget -= count;
                }
            }
        }
        draft(total);
        return total;
    }

    /**
     * The next slice of a sparse prompt, or 0 if it does not fit in a budget. The keys that it attends to depend on where it begins and
     * ends, so that must not depend on what runs beside it: it begins at a multiple of the slice's size, also when it is computed again.
     * The oldest prompt has the whole budget, so it gets on.
     */
    private int wholeSlice(Sequence s, int budget) {
        int whole = Math.min(s.sparseRest(), prefillSlice);
        return whole <= budget ? whole : 0;
    }

    private void draft(int total) {
        drafted = 0;
        int sequences = running.size();
        int room = sequences > DRAFTING_SEQUENCES ? 0 : Math.min(DRAFTING_TOKENS, prefillSlice + maxRunning) - total;
        // Sequences that do not foresee anything leave their share to the younger ones.
        for (int i = 0; i < sequences && room > 0; i++) {
            Sequence s = running.get(i);
            if (s.planned == 1 && s.decoding()) {
                int left = sequences - i;
                s.drafted = s.draft(Math.min((room + left - 1) / left, freeTokens(s)), sequences);
                room -= s.drafted;
                drafted += s.drafted;
                Objects.requireNonNull(s.pages).reserve(s.length + s.drafted);
            }
        }
    }

    /** Tokens behind its last known one that a sequence can have in the cache without taking pages from others. */
    private int freeTokens(Sequence s) {
        return (s.pageCount() + pool.free()) * KvPages.PAGE_TOKENS - s.length;
    }

    /** Gives back pages that foreseen tokens took. */
    void drop(Sequence s) {
        if (s.drafted > 0) {
            Objects.requireNonNull(s.pages).trim(s.computed);
        }
    }

    /** Stretches a running sequence that outgrew plain positions: it keeps its place and is computed again from its first token. */
    void stretch(Sequence s) {
        s.stretch();
        releasePages(s);
    }

    private void resume() {
        for (int i = 0; i < paused.size(); i++) {
            Sequence s = paused.get(i);
            if (s.mayResume()) {
                paused.remove(i--);
                insert(returning, s);
                places.resumed(s);
            }
        }
    }

    private void pause() {
        for (int i = 0; i < running.size(); i++) {
            Sequence s = running.get(i);
            if (s.blocked()) {
                running.remove(i--);
                insert(paused, s);
                places.paused(s);
            }
        }
    }

    private void admit() {
        while (running.size() < maxRunning) {
            Sequence s = returning.isEmpty() ? fresh.peekFirst() : returning.get(0);
            if (s == null) {
                return;
            }
            int known = KvPages.pagesFor(s.length + 1L);
            int needed = Math.min(known, pool.pages()) - s.pageCount() + running.size();
            if (pool.free() < needed && !reclaim(s, needed)) {
                return;
            }
            if (returning.isEmpty()) {
                fresh.removeFirst();
            } else {
                returning.remove(0);
            }
            insert(running, s);
        }
    }

    /** Frees pages of sequences that do not run until {@code needed} are free; does nothing if that is not possible. */
    private boolean reclaim(Sequence except, int needed) {
        int possible = pool.free();
        for (int i = 0; i < paused.size(); i++) {
            possible += paused.get(i).pageCount();
        }
        for (int i = 0; i < returning.size(); i++) {
            possible += returning.get(i) == except ? 0 : returning.get(i).pageCount();
        }
        if (possible < needed) {
            return false;
        }
        while (pool.free() < needed) {
            Sequence victim = idleHolder(except);
            if (victim == null) {
                return false;
            }
            releasePages(victim);
        }
        return true;
    }

    /** The youngest sequence that holds pages without running: paused ones first. */
    private @Nullable Sequence idleHolder(Sequence except) {
        for (int i = paused.size() - 1; i >= 0; i--) {
            if (paused.get(i).pageCount() > 0) {
                return paused.get(i);
            }
        }
        for (int i = returning.size() - 1; i >= 0; i--) {
            if (returning.get(i).pageCount() > 0 && returning.get(i) != except) {
                return returning.get(i);
            }
        }
        return null;
    }

    private boolean reserve(Sequence s, int count) {
        PageTable pages = s.pages;
        if (pages == null) {
            pages = new PageTable(pool);
            s.pages = pages;
        }
        while (!pages.reserve(count)) {
            Sequence victim = idleHolder(s);
            if (victim != null) {
                releasePages(victim);
                continue;
            }
            Sequence youngest = running.remove(running.size() - 1);
            releasePages(youngest);
            insert(returning, youngest);
            preemptions++;
            if (youngest == s) {
                return false;
            }
        }
        return true;
    }

    private static void releasePages(Sequence s) {
        if (s.pages != null) {
            s.pages.trim(0);
        }
        s.computed = 0;
        s.planned = 0;
        s.drafted = 0;
    }

    /** Takes a sequence that ended out of all lists and frees its pages. */
    void remove(Sequence s) {
        if (!running.remove(s) && !paused.remove(s) && !returning.remove(s)) {
            fresh.remove(s);
        }
        releasePages(s);
    }

    /** Looks at all sequences; those for which {@code ends} holds are taken out, their pages freed, and given to {@code end}. */
    void removeIf(Predicate<Sequence> ends, Consumer<Sequence> end) {
        Consumer<Sequence> out = s -> {
            releasePages(s);
            end.accept(s);
        };
        for (ArrayList<Sequence> list : List.of(running, paused, returning)) {
            for (int i = 0; i < list.size(); i++) {
                Sequence s = list.get(i);
                if (ends.test(s)) {
                    list.remove(i--);
                    out.accept(s);
                }
            }
        }
        fresh.removeIf(s -> {
            boolean ended = ends.test(s);
            if (ended) {
                out.accept(s);
            }
            return ended;
        });
    }

    private static void insert(ArrayList<Sequence> list, Sequence s) {
        int at = list.size();
        while (at > 0 && list.get(at - 1).arrival > s.arrival) {
            at--;
        }
        list.add(at, s);
    }
}
