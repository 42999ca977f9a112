#!/bin/sh
# Builds the native library with CMake. Called by Maven; see qwen-native/pom.xml.
#   native.sh SOURCES BUILD_DIRECTORY GENERATED_JNI JAVA_HOME VERSION PLATFORM OUTPUT_DIRECTORY CUDA_TARGETS
# GENERATED_JNI is the directory of the bindings. The CUDA library goes to OUTPUT_DIRECTORY-gpu, where nvcc is there; what tests need of it, the
# same on an emulated device, to BUILD_DIRECTORY/emulated. CUDA_TARGETS are compute capabilities, or "none".
# Where a tool is missing it says so in one line, leaves a note for the tests and ends well: Qwen4J then computes in Java.
set -u
sources=$1 build=$2 jni=$3 java_home=$4 version=$5 platform=$6 output=$7 targets=$8

mkdir -p "$build"
note=$build/not-built.txt
library=$output/libqwen4j.so
cuda=$output-gpu/libqwen4j-cuda.so

give_up() {
    echo "$1" > "$note"
    rm -f "$library" "$cuda"
    echo "[WARNING] native library not built: $1; the Java backend will be used" >&2
    exit 0
}

machine="$(uname -s)-$(uname -m)"
[ "$platform" = linux-x86_64 ] || give_up "there are no kernels for $platform yet"
[ "$machine" = Linux-x86_64 ] || give_up "this machine is $machine, the kernels are for $platform"
command -v cmake > /dev/null || give_up "cmake is not installed"
command -v "${CXX:-c++}" > /dev/null || command -v g++ > /dev/null || command -v clang++ > /dev/null || give_up "no C++ compiler is installed"
command -v make > /dev/null || command -v ninja > /dev/null || give_up "make is not installed"
[ -f "$java_home/include/jni.h" ] || give_up "$java_home has no include/jni.h (a JDK is needed)"

# Replaced by renaming: a running process may have the old file mapped.
place() {
    mkdir -p "$(dirname "$2")"
    cmp -s "$1" "$2" || { cp "$1" "$2.new" && mv "$2.new" "$2"; }
}

nvcc=
if [ "$targets" = none ]; then
    echo "[INFO] CUDA library not built: -Dqwen.cuda.targets=none"
else
    nvcc=$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc) || echo "[INFO] CUDA library not built: nvcc is not installed"
fi

log=$build/build.log
if cmake -S "$sources" -B "$build/cmake" -DQW_VERSION="$version" -DQW_JAVA_HOME="$java_home" \
    -DQW_JNI_SOURCE="$jni/jniNativeLibrary.cpp" -DQW_CUDA_JNI_SOURCE="$jni/jniCudaLibrary.cpp" -DQW_NVCC="$nvcc" -DQW_CUDA_TARGETS="$targets" > "$log" 2>&1 &&
    cmake --build "$build/cmake" --parallel 2 >> "$log" 2>&1; then
    rm -f "$note"
    place "$build/cmake/libqwen4j.so" "$library"
    place "$build/cmake/libqwen4j.so" "$build/emulated/libqwen4j.so"
    place "$build/cmake/emulated/libqwen4j-cuda.so" "$build/emulated/libqwen4j-cuda.so"
    if [ -n "$nvcc" ]; then
        place "$build/cmake/gpu/libqwen4j-cuda.so" "$cuda"
    else
        rm -f "$cuda"
    fi
else
    tail -n 40 "$log" >&2
    echo "[ERROR] building the native library failed, see $log" >&2
    exit 1
fi
