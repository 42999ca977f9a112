#!/bin/sh
# Builds the native library with CMake. Called by Maven; see qwen-native/pom.xml.
#   native.sh SOURCES BUILD_DIRECTORY GENERATED_JNI JAVA_HOME VERSION PLATFORM OUTPUT_DIRECTORY
# Where a tool is missing it says so in one line, leaves a note for the tests and ends well: Qwen4J then computes in Java.
set -u
sources=$1 build=$2 jni=$3 java_home=$4 version=$5 platform=$6 output=$7

mkdir -p "$build"
note=$build/not-built.txt
library=$output/libqwen4j.so

give_up() {
    echo "$1" > "$note"
    rm -f "$library"
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

log=$build/build.log
if cmake -S "$sources" -B "$build/cmake" -DQW_VERSION="$version" -DQW_JNI_SOURCE="$jni" -DQW_JAVA_HOME="$java_home" > "$log" 2>&1 &&
    cmake --build "$build/cmake" --parallel 2 >> "$log" 2>&1; then
    rm -f "$note"
    mkdir -p "$output"
    # Replaced by renaming: a running process may have the old file mapped.
    cmp -s "$build/cmake/libqwen4j.so" "$library" || { cp "$build/cmake/libqwen4j.so" "$library.new" && mv "$library.new" "$library"; }
else
    tail -n 40 "$log" >&2
    echo "[ERROR] building the native library failed, see $log" >&2
    exit 1
fi
