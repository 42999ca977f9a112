package io.qwen4j.natives;

import io.qwen4j.BackendInfo;
import io.qwen4j.BackendUnavailableException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A device that kernels run on.
 *
 * @param index its number, as CUDA counts those it shows to the process
 * @param name its name
 * @param capability 10 times the compute capability
 */
record CudaDevice(int index, String name, int capability) {
    static final String PROPERTY = "qwen4j.cuda.device";
    static final int LOWEST_CAPABILITY = 80;

    private static final int MOST_NAME_BYTES = 256;

    /** A device and how much of its memory is free, in bytes. */
    record Found(CudaDevice device, long freeBytes) {}

    /**
     * The devices of this machine.
     *
     * @throws BackendUnavailableException if there is no driver, an old one, or no device
     */
    static List<Found> all() {
        long count = CudaException.checkValue(CudaLibrary.deviceCount(), "looking for devices");
        List<Found> devices = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            ByteBuffer text = ByteBuffer.allocateDirect(MOST_NAME_BYTES);
            text.limit(CudaLibrary.deviceName(i, text, MOST_NAME_BYTES));
            int capability = (int) CudaException.checkValue(CudaLibrary.deviceCapability(i), "device " + i);
            // Of cards that are not supported nothing more is asked.
            CudaDevice device = new CudaDevice(i, StandardCharsets.UTF_8.decode(text).toString(), capability);
            devices.add(new Found(device, capability < LOWEST_CAPABILITY ? 0 : device.freeBytes()));
        }
        return devices;
    }

    /**
     * The device of that number, or else the one with most free memory.
     *
     * @param wanted a number, or null
     * @throws BackendUnavailableException if there is none that kernels run on
     */
    static CudaDevice choose(List<Found> devices, @Nullable String wanted) {
        if (wanted != null && !wanted.isBlank()) {
            return devices.stream()
                    .map(Found::device)
                    .filter(d -> Integer.toString(d.index).equals(wanted.strip()))
                    .findFirst()
                    .map(CudaDevice::checked)
                    .orElseThrow(() -> new BackendUnavailableException(
                            PROPERTY + " is \"" + wanted + "\", expected a number of 0 to " + (devices.size() - 1)));
        }
        Found best = null;
        for (Found found : devices) {
            if (found.device.capability >= LOWEST_CAPABILITY && (best == null || found.freeBytes > best.freeBytes)) {
                best = found;
            }
        }
        return best != null ? best.device : devices.get(0).device.checked();
    }

    /** Memory that can be taken now. */
    long freeBytes() {
        return CudaException.checkSize(CudaLibrary.deviceFreeBytes(index), "memory of device " + this);
    }

    /** All of its memory. */
    long totalBytes() {
        return CudaException.checkSize(CudaLibrary.deviceTotalBytes(index), "memory of device " + this);
    }

    BackendInfo.Hardware hardware(long freeBytes) {
        return new BackendInfo.Hardware("device " + index + ": " + name, "compute capability " + words(capability), totalBytes(), freeBytes);
    }

    private CudaDevice checked() {
        if (capability < LOWEST_CAPABILITY) {
            throw new BackendUnavailableException("device " + this + " is too old: expected compute capability "
                    + words(LOWEST_CAPABILITY) + " or higher");
        }
        return this;
    }

    private static String words(int capability) {
        return capability / 10 + "." + capability % 10;
    }

    @Override
    public String toString() {
        return index + " (" + name + ", compute capability " + words(capability) + ")";
    }
}
