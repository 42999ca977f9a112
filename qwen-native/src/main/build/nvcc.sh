#!/bin/sh
# Compiles kernels for devices and refuses those whose registers spill to memory. Called by CMake; see cpp/cuda/cuda.cmake.
#   nvcc.sh LOG NVCC ARGUMENTS...
set -u
log=$1
shift
"$@" -Xptxas -v > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
if grep 'bytes spill' "$log" | grep -qv ' 0 bytes spill stores, 0 bytes spill loads'; then
    grep -B 1 'bytes spill' "$log" | grep -v ' 0 bytes spill stores, 0 bytes spill loads' >&2
    echo "a kernel spills registers, see $log" >&2
    exit 1
fi
grep 'warning' "$log" >&2
exit 0
