#!/bin/sh
# Checks and times the CUDA backend on a card, in stages that can be run alone, each within ten minutes:
#   run.sh check     every kernel against formulas in double precision; compute-sanitizer on small shapes
#   run.sh oracle    whole models against transformers
#   run.sh kernels   every operation on every shape of Qwen2.5, beside what the card can do at best
#   run.sh models    tokens per second, end to end
#   run.sh peers     torch and transformers at the same work
#   run.sh all       these, one after the other
# Takes what pack.sh made (benchmarks/gpu/target/pack/qwen4j.tar.xz); without it the programs of `check` and `kernels` are built here, with
# nvcc and CMake, and whole models are left out. Results go to $OUT, or benchmarks/gpu/target/out: at most eight files a stage.
# SECONDS_PER_STAGE (570) ends a stage in time. WORK_DIRECTORY has room for a model of 30 GB: /dev/shm where that is large enough.
# DRY=1 tries everything on tiny shapes: on an emulated device (PROGRAMS names a directory with its tests and bench_cuda, NATIVE one with its
# library), with torch on the CPU.
set -u
stage=${1:-all}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${OUT:-$here/target/out}
run=$here/target/run
limit=${SECONDS_PER_STAGE:-570}
dry=${DRY:-}
mkdir -p "$out" "$run"
begin=$(date +%s)
failed=0

left() { echo $((limit - $(date +%s) + begin)); }

# Runs a command to a log and on the screen, within what is left of the stage or fewer seconds.
step() {
    name=$1 most=$2
    shift 2
    time=$(left)
    [ "$time" -lt "$most" ] || time=$most
    if [ "$time" -lt 5 ]; then
        echo "$name: left out, the time is up" | tee "$out/$name.txt"
        return
    fi
    started=$(date +%s)
    { timeout -k 5 "$time" "$@" 2>&1; echo $? > "$run/status"; } | tee "$out/$name.txt" | tail -n 40
    status=$(cat "$run/status")
    # Killed before its time, for memory say, is a failure.
    [ "$status" != 137 ] || [ $(($(date +%s) - started)) -lt "$time" ] || status=124
    case $status in
        0) ;;
        124) echo "$name: ended after $time s; what is above is what was found until then" ;;
        *) echo "$name: FAILED, exit status $status" && failed=1 ;;
    esac
}

unpack() {
    archive=$here/target/pack/qwen4j.tar.xz
    # shellcheck disable=SC3013 # dash and busybox know -nt
    if [ -f "$archive" ] && { [ ! -d "$run/qwen4j" ] || [ "$archive" -nt "$run/qwen4j" ]; }; then
        rm -rf "$run/qwen4j"
        tar -C "$run" -xJf "$archive" 2> /dev/null ||
            python3 -c "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])" "$archive" "$run"
        touch "$run/qwen4j"
    fi
    programs=${PROGRAMS:-$run/qwen4j/bin}
    native=${NATIVE:-$run/qwen4j/native}
    qwen="$run/qwen4j/runtime/bin/java -XX:+UseSerialGC -Dqwen4j.native.dir=$native -jar $run/qwen4j/app/qwen-tool.jar"
}

# Programs of another machine may not start on this one.
programs() {
    "$programs/cuda_test" start > /dev/null 2>&1 && return
    echo "building cuda_test and bench_cuda"
    target=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | sed 's/\.//; s/^90$/90a/')
    cmake -S "$root/qwen-native/src/main/cpp" -B "$run/build" -DQW_TESTS=ON -DQW_CUDA_TARGETS="$target" \
        -DQW_NVCC="$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc)" > "$out/build.txt" 2>&1 &&
        cmake --build "$run/build" --target device_programs --parallel >> "$out/build.txt" 2>&1 || { tail -n 40 "$out/build.txt"; exit 1; }
    programs=$run/build/test/device
}

models_can_run() {
    # shellcheck disable=SC2086
    $qwen --version > /dev/null 2>&1 && return
    echo "no whole models: there is no archive of pack.sh, or its Java does not start here"
    failed=1
    return 1
}

work_directory() {
    if [ -z "${WORK_DIRECTORY:-}" ]; then
        WORK_DIRECTORY=$run
        free=$(df -Pk /dev/shm 2> /dev/null | awk 'NR == 2 { print $4 }')
        [ "${free:-0}" -lt 41943040 ] || WORK_DIRECTORY=/dev/shm
    fi
    echo "models are written to $WORK_DIRECTORY ($(df -Pk "$WORK_DIRECTORY" | awk 'NR == 2 { print int($4 / 1048576) }') GB free)"
}

# What a copy moves, as an earlier stage measured it.
bandwidth() { sed -n 's/^copying, bytes read and written *\([0-9]*\).*/\1/p' "$run/kernels.txt" 2> /dev/null; }

# Every test of kernels: with a directory, arguments of the tests, and a command to run them with.
# shellcheck disable=SC2016
each='directory=$1 arguments=$2 failed=0
shift 2
for test in cuda_test cuda_attention_test cuda_gemm_test cuda_int8_test cuda_steps_test; do
    echo "$test"
    "$@" "$directory/$test" $arguments || failed=1
done
exit $failed'

check() {
    programs
    seed=$(date +%s)
    echo "seed $seed"
    step against-double 240 sh -c "$each" sh "$programs" "${dry:+small }$seed"
    if [ -z "$dry" ] && command -v compute-sanitizer > /dev/null; then
        for tool in memcheck racecheck synccheck; do
            step "sanitizer-$tool" 90 sh -c "$each" sh "$programs" small compute-sanitizer --tool "$tool" --error-exitcode 1
        done
    else
        echo "compute-sanitizer: not run"
    fi
}

oracle() {
    models_can_run || return
    work_directory
    if [ -n "$dry" ]; then
        step transformers 400 python3 "$here/reference.py" --qwen "$qwen" --work "$WORK_DIRECTORY" --device cpu --sizes tiny
    else
        step transformers 570 python3 "$here/reference.py" --qwen "$qwen" --work "$WORK_DIRECTORY" --sizes 0.5B,1.5B,7B,14B \
            --seconds "$(left)"
    fi
}

# Where both were measured, in this stage or before it on this machine.
beside_torch() {
    [ -f "$run/kernels.csv" ] && [ -f "$run/peers.csv" ] || return 0
    python3 "$here/tables.py" kernels "$run/kernels.csv" "$run/peers.csv" > "$out/beside-torch.txt"
}

kernels() {
    programs
    if [ -n "$dry" ]; then
        step kernels 570 "$programs/bench_cuda" --tiny --csv "$out/kernels.csv"
    else
        step kernels 570 "$programs/bench_cuda" --seconds $(($(left) - 30)) --csv "$out/kernels.csv"
    fi
    [ ! -f "$out/kernels.csv" ] || cp "$out/kernels.txt" "$out/kernels.csv" "$run"
    beside_torch
}

models() {
    models_can_run || return
    work_directory
    if [ -n "$dry" ]; then
        step models 570 python3 "$here/models.py" --qwen "$qwen" --output "$out/models.jsonl" --work "$WORK_DIRECTORY" --tiny \
            --sizes 0.5B --types Q4_K --backend cpu
    else
        step models 570 python3 "$here/models.py" --qwen "$qwen" --output "$out/models.jsonl" --work "$WORK_DIRECTORY" \
            --seconds "$(($(left) - 15))"
    fi
    rate=$(bandwidth)
    [ ! -f "$run/peers.csv" ] || set -- "$run/peers.csv"
    python3 "$here/tables.py" models "$out/models.jsonl" "${rate:-3000}" "$@" | tee "$out/end-to-end.txt"
}

peers() {
    if [ -n "$dry" ]; then
        step peers 570 python3 "$here/peers.py" --csv "$out/peers.csv" --device cpu --sizes tiny
    else
        step peers 570 python3 "$here/peers.py" --csv "$out/peers.csv" --seconds "$(($(left) - 30))"
    fi
    [ ! -f "$out/peers.csv" ] || cp "$out/peers.csv" "$run"
    beside_torch
}

unpack
[ -n "$dry" ] ||
    nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total,memory.used,clocks.sm,clocks.mem --format=csv | tee "$out/card.txt"
case $stage in
    check | oracle | kernels | models | peers) "$stage" ;;
    all)
        for one in check oracle kernels peers models; do
            begin=$(date +%s)
            echo "== $one"
            "$one"
        done
        ;;
    *)
        echo "usage: run.sh check|oracle|kernels|peers|models|all" >&2
        exit 2
        ;;
esac
exit $failed
