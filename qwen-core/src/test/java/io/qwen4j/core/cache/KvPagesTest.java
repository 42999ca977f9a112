package io.qwen4j.core.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class KvPagesTest {
    @Test
    void countsPagesOfTokens() {
        assertEquals(0, KvPages.pagesFor(0));
        assertEquals(1, KvPages.pagesFor(1));
        assertEquals(1, KvPages.pagesFor(32));
        assertEquals(2, KvPages.pagesFor(33));
        assertEquals(67_108_864, KvPages.pagesFor(Integer.MAX_VALUE));
    }

    @Test
    void touchesNoMorePagesThanWereHeldAtATime() {
        KvPages pool = new KvPages(1000);
        for (int i = 0; i < 100; i++) {
            try (PageTable table = new PageTable(pool)) {
                assertTrue(table.reserve(96));
                for (int p = 0; p < table.count(); p++) {
                    assertTrue(table.pages()[p] < 3);
                }
            }
        }
    }

    @Test
    void aPageThatIsNotTakenCannotBeGivenBack() {
        KvPages pool = new KvPages(2);
        int page = pool.take();
        pool.giveBack(page);
        assertThrows(IllegalStateException.class, () -> pool.giveBack(page));
        assertThrows(IllegalStateException.class, () -> pool.giveBack(2));
        assertThrows(IllegalArgumentException.class, () -> new KvPages(0));
        pool.take();
        pool.take();
        assertThrows(IllegalStateException.class, pool::take);
    }

    @Test
    void aFullPoolRefusesAndTakesNothing() {
        KvPages pool = new KvPages(4);
        PageTable first = new PageTable(pool);
        PageTable second = new PageTable(pool);
        assertTrue(first.reserve(70));
        assertEquals(3, first.count());
        assertEquals(96, first.capacity());
        assertFalse(second.reserve(33));
        assertEquals(0, second.count());
        assertTrue(second.reserve(32));
        assertTrue(first.reserve(40), "a smaller need keeps what is held");
        assertEquals(3, first.count());
        first.trim(40);
        assertEquals(2, first.count());
        assertEquals(1, pool.free());
        first.close();
        first.close();
        second.close();
        assertEquals(4, pool.free());
        assertThrows(IllegalStateException.class, () -> first.reserve(1));
    }

    @Test
    void noPageHasTwoOwnersAndAllComeBack() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        KvPages pool = new KvPages(100);
        List<PageTable> tables = new ArrayList<>();
        for (int step = 0; step < 20_000; step++) {
            switch (random.nextInt(4)) {
                case 0 -> tables.add(new PageTable(pool));
                case 1 -> {
                    if (!tables.isEmpty()) {
                        tables.remove(random.nextInt(tables.size())).close();
                    }
                }
                case 2 -> {
                    if (!tables.isEmpty()) {
                        tables.get(random.nextInt(tables.size())).trim(random.nextInt(500));
                    }
                }
                default -> {
                    if (!tables.isEmpty()) {
                        tables.get(random.nextInt(tables.size())).reserve(random.nextInt(800));
                    }
                }
            }
            Set<Integer> held = new HashSet<>();
            int count = 0;
            for (PageTable table : tables) {
                for (int i = 0; i < table.count(); i++) {
                    held.add(table.pages()[i]);
                    count++;
                }
            }
            assertEquals(count, held.size(), "seed " + seed);
            assertEquals(count, pool.used(), "seed " + seed);
            assertEquals(100, pool.used() + pool.free());
        }
        tables.forEach(PageTable::close);
        assertEquals(100, pool.free(), "seed " + seed);
    }
}
