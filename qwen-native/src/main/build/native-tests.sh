#!/bin/sh
# Builds and runs the C++ tests. Called by Maven; see qwen-native/pom.xml.
#   native-tests.sh SOURCES BUILD_DIRECTORY SANITIZERS NOT_BUILT_NOTE
# SANITIZERS is "none" or a list such as address,undefined. Without the library (see native.sh) there is nothing to test.
set -u
sources=$1 build=$2 sanitizers=$3 note=$4
[ "$sanitizers" = none ] && sanitizers=

if [ -f "$note" ]; then
    echo "[WARNING] native tests not run: $(cat "$note")" >&2
    exit 0
fi
mkdir -p "$build"
log=$build/tests.log
cmake -S "$sources" -B "$build" -DQW_TESTS=ON -DQW_SANITIZE="$sanitizers" > "$log" 2>&1 &&
    cmake --build "$build" --parallel 2 >> "$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
cd "$build" && ctest --parallel 2 --output-on-failure
