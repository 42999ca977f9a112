package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AvailableMemoryTest {
    @TempDir
    private Path root;

    private void write(String path, String text) throws IOException {
        Path file = root.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    private long bytes() {
        return new AvailableMemory(root).bytes();
    }

    @Test
    void unknownWithoutLinux() {
        assertEquals(Long.MAX_VALUE, bytes());
    }

    @Test
    void theMachineBounds() throws IOException {
        write("proc/meminfo", "MemTotal:       100 kB\nMemFree:  10 kB\nMemAvailable:    42 kB\n");
        assertEquals(42 * 1024, bytes());
    }

    @Test
    void theTightestGroupBounds() throws IOException {
        write("proc/meminfo", "MemAvailable:    1000 kB\n");
        write("proc/self/cgroup", "0::/pod/app\n");
        write("sys/fs/cgroup/pod/app/memory.max", "max\n");
        write("sys/fs/cgroup/pod/app/memory.current", "5000\n");
        assertEquals(1_024_000, bytes());
        write("sys/fs/cgroup/pod/memory.max", "90000\n");
        write("sys/fs/cgroup/pod/memory.current", "50000\n");
        write("sys/fs/cgroup/pod/memory.stat", "anon 7\nactive_file 1000\ninactive_file 2000\n");
        assertEquals(90_000 - 50_000 + 3000, bytes());
        write("sys/fs/cgroup/pod/app/memory.max", "6000\n");
        assertEquals(1000, bytes());
        write("sys/fs/cgroup/pod/app/memory.max", "4000\n");
        assertEquals(0, bytes());
    }

    @Test
    void insideAContainerTheMountIsTheGroup() throws IOException {
        write("proc/self/cgroup", "0::/../../somewhere/else\n");
        write("sys/fs/cgroup/memory.max", "70000\n");
        write("sys/fs/cgroup/memory.current", "10000\n");
        assertEquals(60_000, bytes());
    }

    @Test
    void oldGroupsAreUnderstood() throws IOException {
        write("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/a\n1:name=systemd:/a\n");
        write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "80000\n");
        write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "30000\n");
        write("sys/fs/cgroup/memory/a/memory.stat", "total_inactive_file 500\ntotal_active_file 60\ninactive_file 9999\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
        assertEquals(50_560, bytes());
    }

    @Test
    void nonsenseIsUnknown() throws IOException {
        write("proc/meminfo", "MemAvailable:\nMemAvailable: many kB\n");
        write("proc/self/cgroup", "garbage\n0::\n");
        write("sys/fs/cgroup/memory.max", "-5\n");
        write("sys/fs/cgroup/memory.current", "x\n");
        assertEquals(Long.MAX_VALUE, bytes());
    }
}
