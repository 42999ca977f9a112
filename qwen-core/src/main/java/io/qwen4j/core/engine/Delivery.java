package io.qwen4j.core.engine;

import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The delivery thread of a model: makes text and events of what the engine thread wrote. One thread serves all answers; it never waits
 * for a reader.
 *
 * <p>Answers with news are a stack linked through {@link Mail}, so that the engine thread allocates nothing to announce one.
 */
final class Delivery implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(Delivery.class);

    private final AtomicReference<@Nullable Mail> news = new AtomicReference<>();
    private final Thread thread;
    private volatile boolean asleep;
    private volatile boolean closing;

    /** One answer's place in the stack. */
    static final class Mail {
        private final Runnable deliver;
        private final java.util.concurrent.atomic.AtomicBoolean posted = new java.util.concurrent.atomic.AtomicBoolean();
        private @Nullable Mail next;

        Mail(Runnable deliver) {
            this.deliver = deliver;
        }
    }

    Delivery(String name) {
        thread = new Thread(this, name);
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    /** Announces news. Any thread. */
    void post(Mail mail) {
        if (mail.posted.compareAndSet(false, true)) {
            Mail head;
            do {
                head = news.get();
                mail.next = head;
            } while (!news.compareAndSet(head, mail));
            if (asleep) {
                LockSupport.unpark(thread);
            }
        }
    }

    /** Ends the thread when everything announced until now is delivered. */
    void close() {
        closing = true;
        LockSupport.unpark(thread);
    }

    /** Whether this thread is the delivery thread. */
    boolean isCurrentThread() {
        return Thread.currentThread() == thread;
    }

    /** The thread. */
    Thread thread() {
        return thread;
    }

    @Override
    public void run() {
        while (true) {
            boolean last = closing;
            Mail mail = reversed(news.getAndSet(null));
            while (mail != null) {
                Mail next = mail.next;
                mail.next = null;
                // Before delivering: what comes from now on is announced again.
                mail.posted.set(false);
                try {
                    mail.deliver.run();
                } catch (Throwable t) {
                    LOG.error("an answer could not be delivered", t);
                }
                mail = next;
            }
            if (last && news.get() == null) {
                return;
            }
            asleep = true;
            if (news.get() == null && !closing) {
                LockSupport.park(this);
            }
            asleep = false;
        }
    }

    /** First come, first served: the stack has the last one on top. */
    private static @Nullable Mail reversed(@Nullable Mail top) {
        Mail result = null;
        while (top != null) {
            Mail next = top.next;
            top.next = result;
            result = top;
            top = next;
        }
        return result;
    }
}
