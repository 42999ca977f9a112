package io.qwen4j.core.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Memory that this process can still take: what Linux calls available, and what the control groups of the process leave, page cache
 * counted as free because the kernel drops it on demand. Elsewhere unknown.
 */
final class AvailableMemory {
    private final Path root;

    /** Looks below another root; for tests. */
    AvailableMemory(Path root) {
        this.root = root;
    }

    static AvailableMemory ofSystem() {
        return new AvailableMemory(Path.of("/"));
    }

    /** Bytes, or {@link Long#MAX_VALUE} if nothing is known. */
    long bytes() {
        long bytes = field(lines("proc/meminfo"), "MemAvailable:");
        bytes = bytes < 0 ? Long.MAX_VALUE : Math.multiplyExact(bytes, 1024);
        for (String line : lines("proc/self/cgroup")) {
            String[] parts = line.split(":", 3);
            if (parts.length == 3 && parts[1].isEmpty()) {
                bytes = Math.min(bytes, ofGroups(root.resolve("sys/fs/cgroup"), parts[2],
                        "memory.max", "memory.current", "inactive_file", "active_file"));
            } else if (parts.length == 3 && List.of(parts[1].split(",")).contains("memory")) {
                bytes = Math.min(bytes, ofGroups(root.resolve("sys/fs/cgroup/memory"), parts[2],
                        "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file"));
            }
        }
        return bytes;
    }

    /**
     * The least that a group and those above it leave. Inside a container the mount may start at the group itself, which then is the mount.
     */
    private static long ofGroups(Path mount, String group, String limitFile, String usageFile, String inactive, String active) {
        long bytes = Long.MAX_VALUE;
        Path directory = mount.resolve(group.startsWith("/") ? group.substring(1) : group).normalize();
        if (!directory.startsWith(mount)) {
            directory = mount;
        }
        while (directory != null && directory.startsWith(mount)) {
            long limit = number(lines(directory.resolve(limitFile)));
            long usage = number(lines(directory.resolve(usageFile)));
            if (limit >= 0 && usage >= 0) {
                List<String> stat = lines(directory.resolve("memory.stat"));
                long cache = Math.max(0, field(stat, inactive)) + Math.max(0, field(stat, active));
                bytes = Math.min(bytes, Math.max(0, limit - Math.max(0, usage - cache)));
            }
            directory = directory.getParent();
        }
        return bytes;
    }

    private List<String> lines(String path) {
        return lines(root.resolve(path));
    }

    private static List<String> lines(Path path) {
        try {
            return Files.readAllLines(path);
        } catch (IOException | RuntimeException e) {
            // Not this kind of system, or not ours to read: unknown, which is an answer.
            return List.of();
        }
    }

    /** The number in the line of a name; -1 if there is none. */
    private static long field(List<String> lines, String name) {
        for (String line : lines) {
            String[] words = line.trim().split("\\s+");
            if (words.length > 1 && words[0].equals(name)) {
                return number(List.of(words[1]));
            }
        }
        return -1;
    }

    /** The number in the first line; -1 if there is none ("max"). */
    private static long number(List<String> lines) {
        if (lines.isEmpty() || !lines.get(0).trim().matches("[0-9]{1,18}")) {
            return -1;
        }
        return Long.parseLong(lines.get(0).trim());
    }
}
