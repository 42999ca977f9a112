package io.qwen4j.benchmarks;

import io.qwen4j.Device;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.nio.FloatBuffer;
import java.util.Random;
import java.util.ServiceLoader;

/**
 * The native backend as the engine finds it, and the shape of Qwen2.5-7B: one of its matrices is beyond the processor's caches, as all
 * layers of any model are.
 */
final class Kernels {
    static final int HIDDEN = 3584;
    static final int FFN = 18_944;
    static final int HEADS = 28;
    static final int KV_HEADS = 4;
    static final int HEAD_SIZE = 128;
    static final int LAYERS = 28;

    private Kernels() {}

    static Ops ops() {
        OpsProvider cpu = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(provider -> provider.device() == Device.CPU)
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("no native backend on the class path"));
        return cpu.create(new OpsOptions(Integer.getInteger("qwen4j.threads", 1), null));
    }

    static Activation random(Ops ops, int rows, int columns) {
        Activation activation = ops.activation(rows, columns);
        FloatBuffer values = activation.buffer();
        Random random = new Random(2);
        for (int i = 0; i < rows * columns; i++) {
            values.put(i, (float) random.nextGaussian());
        }
        return activation;
    }
}
