package io.qwen4j.core.engine;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/** Makes the text side of a model, its tokenizer and template, on a thread of its own while the weights are read. */
final class TextLoading {
    private final FutureTask<ModelTexts> task;

    private TextLoading(FutureTask<ModelTexts> task) {
        this.task = task;
    }

    static TextLoading start(Callable<ModelTexts> work) {
        FutureTask<ModelTexts> task = new FutureTask<>(work);
        Thread thread = new Thread(task, "qwen4j-texts");
        thread.setDaemon(true);
        thread.start();
        return new TextLoading(task);
    }

    /** Throws what went wrong, if that is known by now: weights need not be read to the end then. */
    void check() {
        if (task.isDone()) {
            await();
        }
    }

    /** The texts, or throws what went wrong. An interrupt is kept for later: the thread reads files that the caller closes. */
    ModelTexts await() {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return task.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            if (e.getCause() instanceof Error cause) {
                throw cause;
            }
            throw new IllegalStateException("making the tokenizer failed: " + e.getCause(), e.getCause());
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
