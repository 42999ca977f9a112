package io.qwen4j.natives;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import java.util.Arrays;
import java.util.stream.Stream;

/** The backends that tests compare: those of the CPU, or in a run of its own that of an emulated device. */
final class Instances {
    /** Whether this run is of the emulated device. */
    static final boolean CUDA = "cuda".equals(System.getProperty("qwen.test.device"));

    private Instances() {}

    /** Every instruction set of this machine; none where there is no library. A device has none: one stands for it. */
    static Stream<InstructionSet> instructionSets() {
        if (CUDA) {
            return Stream.of(InstructionSet.BASELINE);
        }
        return Arrays.stream(InstructionSet.values()).filter(i -> i.compareTo(NativeRuntime.instance().best()) <= 0);
    }

    /** Numbers of threads to compare; they mean nothing to a device. */
    static int[] threads(int... counts) {
        return CUDA ? new int[] {1} : counts;
    }

    /** The fewest tokens that a linear layer computes with the bits it has among so many: a device multiplies more than 8 by other kernels. */
    static int fewestTokens(int among) {
        return CUDA && among > 8 ? 9 : 1;
    }

    static Ops cpu(InstructionSet set, int threads) {
        return cpu(set, threads, ActivationPrecision.INT8);
    }

    static Ops cpu(InstructionSet set, int threads, ActivationPrecision precision) {
        if (CUDA) {
            return new CudaOpsProvider().create(new OpsOptions(threads, null, precision));
        }
        return new CpuOpsProvider().create(new OpsOptions(threads, set, precision));
    }

    /** The definition. */
    static Ops java() {
        return new JavaOps(new OpsOptions(2, null));
    }
}
