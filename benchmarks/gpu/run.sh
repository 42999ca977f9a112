#!/bin/sh
# Checks and times the CUDA kernels on a card. Needs nvcc and a C++ compiler, no JDK; everything is built here.
#   run.sh [GB_PER_S]
# GB_PER_S is what the card's memory gives to a copy (H100: 3000, H200: 4300): times are printed beside the time in which it gives the bytes read.
# In this order, each on standard output: the card; compute-sanitizer, where it is installed; every kernel against the formulas in double precision;
# times on the shapes of Qwen2.5 models.
set -eu
bandwidth=${1:-3000}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD_DIRECTORY:-$root/benchmarks/gpu/target}
sources=$root/qwen-native/src/main/cpp
tests=$root/qwen-native/src/test/cpp
mkdir -p "$build"

nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv
set -- -std=c++17 -O3 -I"$sources" -I"$tests" -DQW_VERSION='"benchmark"'
tests_of_kernels="cuda_test cuda_attention_test cuda_gemm_test cuda_int8_test cuda_steps_test"
pids=
# The kernels of compute capability 9.0 need the instructions that only this one has.
target=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
if [ "$target" = 90 ]; then target=90a; fi
for unit in device_cuda weights rows products routing experts gemm gemm_float gemm_hopper gemm_int8 gemm_int8_narrow gemm_int8_middle gemm_int8_wide attention attention_plan flash_prefill flash_decode sparse selection; do
    sh "$root/qwen-native/src/main/build/nvcc.sh" "$build/$unit.log" nvcc -x cu "$@" -fmad=false -lineinfo \
        "-gencode=arch=compute_$target,code=sm_$target" \
        -c "$sources/cuda/$unit.cpp" -o "$build/$unit.o" &
    pids="$pids $!"
done
for unit in common/memory common/object common/batch common/routing common/choice common/selection cuda/objects cuda/steps cuda/uses api/qwen4j_cuda; do
    c++ "$@" -c "$sources/$unit.cpp" -o "$build/$(echo "$unit" | tr / _).o" &
    pids="$pids $!"
done
for program in $tests_of_kernels bench_cuda; do
    c++ "$@" -c "$tests/$program.cpp" -o "$build/$program.main.o" &
    pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
for program in $tests_of_kernels bench_cuda; do
    objects=$(ls "$build"/*.o | grep -v '\.main\.o$')
    nvcc -cudart static $objects "$build/$program.main.o" -o "$build/$program"
done

if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck synccheck; do
        echo "compute-sanitizer $tool"
        for program in $tests_of_kernels; do
            timeout 240 compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/$program" small
        done
    done
fi
for program in $tests_of_kernels; do "$build/$program"; done
"$build/bench_cuda" "$bandwidth"
