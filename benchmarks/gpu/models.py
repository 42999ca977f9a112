#!/usr/bin/env python3
"""Times Qwen4J end to end: models of random weights in the real shapes, made on the spot, one after the other.

  models.py --qwen COMMAND --output MODELS.jsonl [--sizes 7B,0.5B,1.5B,14B] [--types BF16,Q8_0,Q4_K] [--work DIRECTORY] [--seconds S]
            [--backend cuda] [--tiny]

A line of the output is what `qwen bench --json` printed, with size, type and slice beside it.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

import qwen_models

# Options of `qwen bench`, with the name of the work.
WORKS = (
    ("decode of 1, prefill of 2048", 512, "--prompt-tokens 2048 --generate-tokens 128 --repetitions 3"),
    ("decode of 8", 512, "--prompt-tokens 0 --generate-tokens 64 --sequences 8 --repetitions 3"),
    ("decode of 32", 512, "--prompt-tokens 0 --generate-tokens 64 --sequences 32 --repetitions 3"),
    ("prefill of 8192", 512, "--prompt-tokens 8192 --generate-tokens 0 --repetitions 2"),
    ("prefill of 8192 in large slices", 4096, "--prompt-tokens 8192 --generate-tokens 0 --repetitions 2 --prefill-slice 4096"),
)
TINY_WORKS = (("decode of 2", 512, "--prompt-tokens 20 --generate-tokens 4 --sequences 2 --repetitions 1"),)
BITS = {"BF16": 16, "Q8_0": 8.5, "Q4_K": 4.5}


def read_bytes(size, weight_bytes):
    """Of the weights, those a decode step reads: of an embedding that is no head too, next to nothing."""
    hidden, _, _, _, _, vocabulary, tied = qwen_models.SHAPES[size]
    return weight_bytes if tied else weight_bytes * (1 - vocabulary * hidden / qwen_models.values(size, matrices_only=True))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--qwen", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--sizes", default="7B,0.5B,1.5B,14B")
    parser.add_argument("--types", default="BF16,Q8_0,Q4_K")
    parser.add_argument("--work")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    begin, left_out = time.monotonic(), []
    command = shlex.split(options.qwen)
    with tempfile.TemporaryDirectory(dir=options.work) as work, open(options.output, "w") as out:
        for size in options.sizes.split(","):
            for kind in options.types.split(","):
                # A file is written at about a gigabyte a second, then read several times.
                needed = 2 * qwen_models.values(size) * BITS[kind] / 8 / 1e9 + 10
                if time.monotonic() - begin + needed > options.seconds:
                    left_out.append(f"{size} {kind}")
                    continue
                file = os.path.join(work, "model.gguf")
                started = time.monotonic()
                subprocess.run([*command, "synthesize", "--shape", size, "--type", kind, "--output", file], check=True,
                               stdin=subprocess.DEVNULL)
                print(f"{size} {kind}: written in {time.monotonic() - started:.1f} s", flush=True)
                for name, slice_of, work_options in TINY_WORKS if options.tiny else WORKS:
                    left = options.seconds - (time.monotonic() - begin)
                    if left < 5:
                        left_out.append(f"{size} {kind} {name}")
                        continue
                    try:
                        done = subprocess.run([*command, "bench", file, "--json", "--backend", options.backend, *work_options.split()],
                                              capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=left)
                        run = json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip()[-1000:]}
                    except subprocess.TimeoutExpired:
                        run = {"failed": "the time was up"}
                    run.update(size=size, type=kind, slice=slice_of, work=name)
                    if "failed" in run:
                        print(f"{size} {kind} {name}: {run['failed']}", flush=True)
                    else:
                        run["read_bytes"] = read_bytes(size, run["weight_bytes"])
                    print(json.dumps(run), file=out, flush=True)
                os.remove(file)
    if left_out:
        print("left out, the time was up: " + ", ".join(left_out))


if __name__ == "__main__":
    sys.exit(main())
