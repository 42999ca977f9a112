package io.qwen4j.benchmarks;

import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What a kernel read and computed; JMH divides it by the time. */
@AuxCounters(AuxCounters.Type.OPERATIONS)
@State(Scope.Thread)
public class Work {
    /** Bytes of operands, in 10⁹: weights once, activations in f32, keys and values. */
    public double gigabytes;

    /** Multiply-adds, in 10⁹. */
    public double gmacs;

    /** Starts an iteration. */
    @Setup(Level.Iteration)
    public void clear() {
        gigabytes = 0;
        gmacs = 0;
    }

    void add(double bytes, double macs) {
        gigabytes += 1e-9 * bytes;
        gmacs += 1e-9 * macs;
    }
}
