package io.qwen4j.core.engine;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Frees a model that was forgotten. Knows the engine, but not the model. */
final class Unclosed implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(Unclosed.class);
    private static final Cleaner CLEANER = Cleaner.create();

    private final Engine engine;
    private final String name;
    private final AtomicBoolean closed = new AtomicBoolean();

    private Unclosed(Engine engine, String name) {
        this.engine = engine;
        this.name = name;
    }

    /** Watches over a model that owns an engine. */
    static Unclosed watch(Object model, Engine engine, String name) {
        Unclosed watching = new Unclosed(engine, name);
        CLEANER.register(model, watching);
        return watching;
    }

    boolean closed() {
        return closed.get();
    }

    /** The model was closed by its user. */
    void markClosed() {
        closed.set(true);
    }

    @Override
    public void run() {
        if (closed.compareAndSet(false, true)) {
            LOG.warn("model {} was not closed; it is closed now that nobody can use it any more", name);
            engine.closeLater();
        }
    }
}
