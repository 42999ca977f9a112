package io.qwen4j.natives;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;

import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** Two applications in one process, each with Qwen4J in its own class loader. */
@NeedsNative
class ClassLoadersTest {
    @Test
    void eachClassLoaderGetsItsOwnLibrary() throws Exception {
        URL[] classPath = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(ClassLoadersTest::url)
                .toArray(URL[]::new);
        for (int i = 0; i < 2; i++) {
            try (URLClassLoader loader = new URLClassLoader(classPath, ClassLoader.getPlatformClassLoader())) {
                Class<?> provider = loader.loadClass(CpuOpsProvider.class.getName());
                assertNotSame(CpuOpsProvider.class, provider);
                Object cause = provider.getMethod("unavailabilityCause").invoke(provider.getConstructor().newInstance());
                assertEquals(java.util.Optional.empty(), cause);
            }
        }
    }

    private static URL url(String path) {
        try {
            return new File(path).toURI().toURL();
        } catch (java.net.MalformedURLException e) {
            throw new IllegalArgumentException(path, e);
        }
    }
}
