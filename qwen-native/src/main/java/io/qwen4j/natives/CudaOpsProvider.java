package io.qwen4j.natives;

import io.qwen4j.BackendInfo;
import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.util.List;
import java.util.Optional;

/** Offers {@link CudaOps} where the CUDA library, a driver and a device are there. */
public final class CudaOpsProvider implements OpsProvider {
    private static final int PRIORITY = 200;

    /** For {@link java.util.ServiceLoader}. */
    public CudaOpsProvider() {}

    @Override
    public Device device() {
        return Device.CUDA;
    }

    @Override
    public int priority() {
        return PRIORITY;
    }

    @Override
    public Optional<Throwable> unavailabilityCause() {
        Optional<Throwable> cause = CudaRuntime.instance().cause();
        if (cause.isPresent()) {
            return cause;
        }
        try {
            chosenDevice();
            return Optional.empty();
        } catch (RuntimeException e) {
            return Optional.of(e);
        }
    }

    @Override
    public List<BackendInfo.Hardware> hardware() {
        if (CudaRuntime.instance().cause().isPresent()) {
            return List.of();
        }
        try {
            return CudaDevice.all().stream().map(found -> found.device().hardware(found.freeBytes())).toList();
        } catch (RuntimeException e) {
            // The cause of unavailability says so.
            return List.of();
        }
    }

    private static CudaDevice chosenDevice() {
        return CudaDevice.choose(CudaDevice.all(), System.getProperty(CudaDevice.PROPERTY));
    }

    @Override
    public Ops create(OpsOptions options) {
        Optional<Throwable> cause = CudaRuntime.instance().cause();
        if (cause.isPresent()) {
            throw new BackendUnavailableException("the CUDA backend is unavailable: " + cause.get().getMessage(), cause.get());
        }
        if (options.instructionSet() != null) {
            throw new BackendUnavailableException("instruction set " + options.instructionSet() + " was asked for, which is one of the CPU");
        }
        return new CudaOps(chosenDevice(), options.threads(), options.activations());
    }
}
