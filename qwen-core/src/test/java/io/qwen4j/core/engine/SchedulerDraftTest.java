package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.core.cache.KvPages;
import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;

/** The pages of tokens that are computed ahead. */
class SchedulerDraftTest {
    private static final Scheduler.Places NOBODY = new Scheduler.Places() {
        @Override
        public void paused(Sequence s) {}

        @Override
        public void resumed(Sequence s) {}
    };

    /** Decodes for ever and always foresees as much as it may. */
    private static final class Decoding extends Sequence {
        int asked = -1;

        Decoding(int length, int arrival) {
            super(new int[4096], length);
            this.arrival = arrival;
        }

        @Override
        int draft(int most, int sequences) {
            asked = most;
            return most;
        }

        @Override
        boolean decoding() {
            return computed == length - 1;
        }

        /** As after a step in which {@code right} of the drafted tokens came true. */
        void step(Scheduler scheduler, int right) {
            computed += planned + right;
            length = computed + 1;
            scheduler.drop(this);
        }

        @Override
        boolean blocked() {
            return false;
        }

        @Override
        boolean wantsOutput(int position) {
            return true;
        }

        @Override
        void output(int position, FloatBuffer row, int offset, long nanos) {}

        @Override
        boolean complete() {
            return false;
        }

        @Override
        void completed() {}

        @Override
        void cancelled() {}

        @Override
        void failed(Throwable error) {}
    }

    @Test
    void draftsShareTheStepAndLeaveTheirPagesBehind() {
        KvPages pool = new KvPages(10);
        Scheduler scheduler = new Scheduler(pool, 4, 100, NOBODY);
        Decoding first = new Decoding(31, 0);
        Decoding second = new Decoding(20, 1);
        scheduler.add(first);
        scheduler.add(second);
        assertEquals(51, scheduler.plan());
        assertEquals(0, scheduler.drafted());
        first.step(scheduler, 0);
        second.step(scheduler, 0);
        assertEquals(2, scheduler.plan());
        assertEquals(6, scheduler.drafted());
        assertEquals(3, first.drafted);
        assertEquals(3, second.drafted);
        // Positions 31 to 34 of the first one need a second page.
        assertEquals(3, pool.used());
        first.step(scheduler, 0);
        second.step(scheduler, 3);
        assertEquals(2, pool.used());
        assertEquals(33, first.length);
        assertEquals(25, second.length);
    }

    @Test
    void draftsTakeOnlyPagesThatAreFree() {
        KvPages pool = new KvPages(3);
        Scheduler scheduler = new Scheduler(pool, 2, 100, NOBODY);
        Decoding first = new Decoding(31, 0);
        Decoding second = new Decoding(30, 1);
        scheduler.add(first);
        scheduler.add(second);
        assertEquals(61, scheduler.plan());
        first.step(scheduler, 0);
        second.step(scheduler, 0);
        assertEquals(2, scheduler.plan());
        // The last page serves the first one's drafts; what is left of the second one's own page are one token and one draft.
        assertEquals(3, first.drafted);
        assertEquals(1, second.asked);
        assertEquals(1, second.drafted);
        assertEquals(3, pool.used());
        // Nothing came true, and the second one, at the end of its page, can have the free one.
        first.step(scheduler, 0);
        second.step(scheduler, 1);
        assertEquals(2, pool.used());
        assertEquals(33, second.length);
        second.length = 32;
        second.computed = 31;
        assertEquals(2, scheduler.plan());
        assertEquals(0, scheduler.preemptions());
    }

    @Test
    void aFullPoolHasNoDraftsAndNothingIsPreemptedForThem() {
        KvPages pool = new KvPages(2);
        Scheduler scheduler = new Scheduler(pool, 2, 100, NOBODY);
        Decoding first = new Decoding(31, 0);
        Decoding second = new Decoding(20, 1);
        scheduler.add(first);
        scheduler.add(second);
        scheduler.plan();
        first.step(scheduler, 0);
        second.step(scheduler, 0);
        assertEquals(2, scheduler.plan());
        assertEquals(0, first.asked);
        assertEquals(6, second.asked);
        assertEquals(0, scheduler.preemptions());
    }
}
