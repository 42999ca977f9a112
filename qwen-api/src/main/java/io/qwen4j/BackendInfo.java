package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A backend as it is on this machine.
 *
 * @param device where it computes; never {@link Device#AUTO}
 * @param unavailability why it does not work here, or null if it does
 * @param hardware what it finds here, usable or not; empty where it needs nothing special
 */
public record BackendInfo(Device device, @Nullable String unavailability, List<Hardware> hardware) {
    /**
     * What a backend computes on.
     *
     * @param name for people, for example {@code device 0: NVIDIA H100 80GB HBM3}
     * @param capability what it can do, for example {@code compute capability 9.0} or {@code avx512}
     * @param totalBytes memory of its own, or 0 where it computes in memory of the host
     * @param freeBytes how much of it can be taken now; 0 also where it is of no use to the backend
     */
    public record Hardware(String name, String capability, long totalBytes, long freeBytes) {}

    /** Copies the list. */
    public BackendInfo {
        hardware = List.copyOf(hardware);
    }

    /**
     * Whether it works here.
     *
     * @return whether models can be loaded with its {@link #device()}
     */
    public boolean isAvailable() {
        return unavailability == null;
    }

    /**
     * Looks at all backends on the class path or module path. Loads their native libraries; takes no lasting memory of a device but what
     * its driver takes for a process.
     *
     * @return the backends, in the order in which {@link Device#AUTO} tries them
     */
    public static List<BackendInfo> all() {
        return QwenProvider.instance().backends();
    }
}
