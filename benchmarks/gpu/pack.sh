#!/bin/sh
# Packs what a machine with a card may lack into benchmarks/gpu/target/pack/qwen4j.tar.xz, for run.sh: the tool with the CUDA library, a
# Java runtime, and the tests and benchmarks of the kernels, linked with the CUDA runtime.
#   pack.sh [TARGETS]
# TARGETS are compute capabilities, 90a (H100, H200) if none are named. Needs nvcc, CMake, Maven and a JDK 17 with jmods.
# Prints sizes; the archive and all files that git would carry together should stay below 64 MB.
set -eu
targets=${1:-90a}
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/benchmarks/gpu/target
build=$root/qwen-native/target/native/cmake
PATH=$PATH:/usr/local/cuda/bin
java=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}

cd "$root"
mvn -B -ntp -q -pl qwen-examples/qwen-tool -am package -Dmaven.test.skip=true -Dmaven.javadoc.skip=true -Dmaven.source.skip=true \
    -Dqwen.cuda.targets="$targets"
# In the library's own build directory: the kernels are not compiled again.
cmake -S qwen-native/src/main/cpp -B "$build" -DQW_TESTS=ON > "$out.log" 2>&1 || { mkdir -p "$out"; cat "$out.log" >&2; exit 1; }
cmake --build "$build" --target device_programs --parallel 2 > "$out.log" 2>&1 || { tail -n 40 "$out.log" >&2; exit 1; }
rm -f "$out.log"

rm -rf "$out/pack"
stage=$out/pack/qwen4j
mkdir -p "$stage/app" "$stage/native" "$stage/bin"
tool=qwen-examples/qwen-tool/target
cp -R "$tool/lib" "$stage/app/lib"
# The bundled model, which nothing here uses, and the libraries, which are beside it as files.
rm -f "$stage"/app/lib/tiny-qwen-*.jar "$stage"/app/lib/qwen-native-*-linux-*.jar
cp "$tool"/qwen-tool-[0-9]*.jar "$stage/app/qwen-tool.jar"
find qwen-native/target/classes -name 'libqwen4j*.so' -exec cp {} "$stage/native/" \;
[ -f "$stage/native/libqwen4j-cuda.so" ] || { echo "pack.sh: there is no CUDA library; nvcc is needed" >&2; exit 1; }
cp "$build"/test/device/* "$stage/bin/"
strip "$stage"/bin/*
# Uncompressed: the archive packs it better.
"$java/bin/jlink" --add-modules java.base,java.logging,java.management,java.xml,jdk.unsupported --strip-debug --no-header-files \
    --no-man-pages --compress=0 --output "$stage/runtime"
"$stage/runtime/bin/java" -jar "$stage/app/qwen-tool.jar" --version > /dev/null

(cd "$out/pack" && du -sk qwen4j/* | sort -rn && tar -cf - qwen4j | xz -6 > qwen4j.tar.xz)
rm -rf "$stage"
archive=$(wc -c < "$out/pack/qwen4j.tar.xz")
tree=$(git ls-files -co --exclude-standard -z | xargs -0 du -cb | tail -n 1 | cut -f 1)
echo "archive $archive bytes, files of the repository $tree bytes, together $(((archive + tree) / 1048576)) MiB"
