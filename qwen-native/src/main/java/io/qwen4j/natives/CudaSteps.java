package io.qwen4j.natives;

import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Walk;
import java.util.function.LongUnaryOperator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs walks as CUDA graphs: a step of a shape that is met for the third time is one native call, which writes what differs into memory that
 * the graph reads, and launches it. Steps of long slices run plainly. A step that cannot be recorded runs plainly from then on; the log says so once.
 */
final class CudaSteps {
    /** System property; {@code false}: every step runs plainly. */
    static final String PROPERTY = "qwen4j.cuda.graphs";

    private static final Logger LOG = LoggerFactory.getLogger(CudaSteps.class);

    // As in api/qwen4j_cuda.h.
    private static final int FIRST = 1;
    private static final int RECORDED = 2;
    private static final int REPLAYED = 3;
    private static final int GIVEN_UP = 4;

    private final CudaBackend backend;
    private final boolean wanted;
    private boolean told;

    CudaSteps(CudaBackend backend) {
        this.backend = backend;
        wanted = !"false".equalsIgnoreCase(System.getProperty(PROPERTY));
    }

    /** Implements {@link Ops#repeat}. */
    void repeat(CudaOps ops, Walk walk, Batch batch, AttentionShape shape, KvCache cache) {
        if (!wanted) {
            walk.run();
            return;
        }
        // Held until a recording has ended: closing the backend meanwhile waits for that.
        long handle = backend.acquire();
        try {
            run(handle, ops.beginStep(walk, batch, shape, cache), walk);
        } finally {
            backend.release();
        }
    }

    private void run(long handle, long next, Walk walk) {
        if (next == REPLAYED) {
            return;
        }
        if (next == GIVEN_UP) {
            tell(CudaException.lastError());
        }
        if (next != FIRST && next != RECORDED) {
            walk.run();
            return;
        }
        try {
            walk.run();
        } catch (RuntimeException | Error e) {
            CudaException.check(CudaLibrary.abandonStep(handle), "a recording");
            if (next == FIRST || e instanceof Error) {
                throw e;
            }
            // What is wrong with the step itself fails again.
            walk.run();
            CudaException.check(CudaLibrary.refuseStep(handle), "a recording");
            tell(e.getMessage());
            return;
        }
        if (CudaException.checkNumber(CudaLibrary.endStep(handle), "a recorded step") == 0) {
            tell(CudaException.lastError());
            walk.run();
        }
    }

    private void tell(String why) {
        if (!told) {
            told = true;
            LOG.warn("a step of this model cannot be recorded for the device and runs slower: {}", why);
        }
    }

    /** Steps that were recorded so far. */
    long recorded() {
        return number(CudaLibrary::recordedSteps);
    }

    /** Steps that ran as they were recorded. */
    long replayed() {
        return number(CudaLibrary::replayedSteps);
    }

    private long number(LongUnaryOperator count) {
        long handle = backend.acquire();
        try {
            return CudaException.checkNumber(count.applyAsLong(handle), "steps");
        } finally {
            backend.release();
        }
    }
}
