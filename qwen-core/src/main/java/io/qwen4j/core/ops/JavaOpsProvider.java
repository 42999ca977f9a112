package io.qwen4j.core.ops;

import io.qwen4j.Device;
import java.util.Optional;

/** Offers the plain Java backend, which works everywhere. */
public final class JavaOpsProvider implements OpsProvider {
    /** Made by the service loader. */
    public JavaOpsProvider() {}

    @Override
    public Device device() {
        return Device.JAVA;
    }

    @Override
    public int priority() {
        return 0;
    }

    @Override
    public Optional<Throwable> unavailabilityCause() {
        return Optional.empty();
    }

    @Override
    public Ops create(OpsOptions options) {
        return new JavaOps(options);
    }
}
