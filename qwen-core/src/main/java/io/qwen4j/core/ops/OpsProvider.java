package io.qwen4j.core.ops;

import io.qwen4j.BackendInfo;
import io.qwen4j.Device;
import java.util.List;
import java.util.Optional;

/** Offers a backend; found through {@link java.util.ServiceLoader}. Thread-safe. */
public interface OpsProvider {
    /** The device that this provider serves. */
    Device device();

    /** Order in which {@link Device#AUTO} tries providers, highest first. The Java backend has 0. */
    int priority();

    /** Why this backend does not work on this machine, or empty if it does. Looked into once. */
    Optional<Throwable> unavailabilityCause();

    /** What this backend finds on this machine, usable or not. */
    default List<BackendInfo.Hardware> hardware() {
        return List.of();
    }

    /**
     * Makes a backend.
     *
     * @throws io.qwen4j.BackendUnavailableException if {@link #unavailabilityCause()} is present or an option cannot be met
     */
    Ops create(OpsOptions options);
}
