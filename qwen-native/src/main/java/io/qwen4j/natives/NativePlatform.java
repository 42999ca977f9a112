package io.qwen4j.natives;

import java.util.Locale;

/** The platform's name in class-path resources and jar classifiers, such as {@code linux-x86_64}, and the name of its library file. */
record NativePlatform(String name, String libraryFile) {
    static NativePlatform current() {
        return of(System.getProperty("os.name", ""), System.getProperty("os.arch", ""));
    }

    static NativePlatform of(String osName, String osArch) {
        String os = osName.toLowerCase(Locale.ROOT);
        String arch =
                switch (osArch.toLowerCase(Locale.ROOT)) {
                    case "amd64", "x86_64", "x64" -> "x86_64";
                    case "aarch64", "arm64" -> "arm64";
                    default -> osArch.toLowerCase(Locale.ROOT);
                };
        if (os.startsWith("windows")) {
            return new NativePlatform("windows-" + arch, "qwen4j.dll");
        }
        if (os.startsWith("mac")) {
            return new NativePlatform("macosx-" + arch, "libqwen4j.dylib");
        }
        return new NativePlatform((os.isEmpty() ? "unknown" : os.replace(' ', '_')) + "-" + arch, "libqwen4j.so");
    }

    /** Where a classifier jar has the library. */
    String resource() {
        return "io/qwen4j/natives/" + name + "/" + libraryFile;
    }
}
