package io.qwen4j.core.filter;

import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Verdict;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** Verdicts in the order of their documents; takes a document from the source whenever a verdict is taken. */
public final class VerdictStream implements Iterator<Verdict> {
    private final QualityFilter filter;
    private final Iterator<String> documents;
    private final OrderedWork<Verdict> work;
    private boolean sourceEnded;
    private volatile boolean closed;

    private VerdictStream(QualityFilter filter, Iterator<String> documents) {
        this.filter = filter;
        this.documents = documents;
        work = new OrderedWork<>(filter.inFlight());
    }

    /** Implements {@link QualityFilter#judge(Stream)}. */
    public static Stream<Verdict> of(QualityFilter filter, Stream<String> documents) {
        VerdictStream verdicts = new VerdictStream(filter, documents.iterator());
        int order = Spliterator.ORDERED | Spliterator.NONNULL;
        return StreamSupport.stream(Spliterators.spliteratorUnknownSize(verdicts, order), false)
                .onClose(verdicts::close)
                .onClose(documents::close);
    }

    @Override
    public boolean hasNext() {
        if (closed) {
            return false;
        }
        while (!sourceEnded && work.size() < filter.inFlight()) {
            submitNext();
        }
        if (work.size() == 0) {
            close();
        }
        return !closed;
    }

    private void submitNext() {
        try {
            if (!documents.hasNext()) {
                sourceEnded = true;
                return;
            }
            String document = documents.next();
            work.submit(() -> filter.judge(document));
        } catch (RuntimeException e) {
            // Told in its turn: what came before it is scored.
            sourceEnded = true;
            work.submit(() -> {
                throw e;
            });
        }
    }

    @Override
    public Verdict next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        try {
            return work.take();
        } catch (Throwable t) {
            close();
            throw t;
        }
    }

    private void close() {
        closed = true;
        work.close();
    }
}
