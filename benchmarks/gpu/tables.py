#!/usr/bin/env python3
"""Sets what was measured side by side.

  tables.py models MODELS.jsonl [GB_PER_S] [PEERS.csv]   end to end, beside the bandwidth and transformers
  tables.py kernels KERNELS.csv PEERS.csv                operations beside torch's
"""
import csv
import json
import sys

# Tensor-core rate that a large product of torch reaches on an H100 or H200, TFLOP/s.
PEAK = 790.0


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def peers(path):
    return {(r["model"], r["operation"], r["type"], r["tokens"], r["context"]): float(r["us"]) for r in rows(path)}


def prefill_flops(size, prompt):
    """Of a whole prompt; the head is computed for its last token."""
    import math

    import qwen_models

    hidden, layers, heads, _, _, vocabulary, _ = qwen_models.SHAPES[size]
    linear = sum(math.prod(s) for n, s in qwen_models.parameters(size).items() if len(s) == 2 and "layers" in n)
    return 2 * prompt * linear + 2 * vocabulary * hidden + 4 * layers * hidden // heads * heads * prompt * (prompt + 1) / 2


def models(path, bandwidth, theirs):
    known = peers(theirs) if theirs else {}
    with open(path) as file:
        runs = [json.loads(line) for line in file]
    for run in runs:
        size, kind = run["size"], run["type"]
        name = f"{size:5} {kind:5}"
        if "failed" in run:
            print(f"{name} {run['work']}: FAILED: {run['failed']}")
            continue
        sequences = run["sequences"]
        decode, prefill = run["decode_tokens_per_second"], run["prefill_tokens_per_second"]
        if decode is not None:
            floor = run["read_bytes"] / bandwidth / 1e9
            steps = decode / sequences
            peer = known.get((size, "transformers decode", "BF16", str(sequences), "0"))
            beside = f", {decode * peer / 1e6 / sequences:5.1f} x transformers" if peer else ""
            print(f"{name} decode of {sequences:2}: {decode:9.1f} tokens/s, {100 * floor * steps:5.1f} % of {bandwidth:.0f} GB/s{beside}")
        if prefill is not None:
            prompt = run["prompt_tokens"]
            rate = prefill_flops(size, prompt) * prefill / prompt / 1e12
            peer = known.get((size, "transformers prefill", "BF16", str(prompt), "0"))
            beside = f", {prefill * peer / 1e6 / prompt:5.1f} x transformers" if peer else ""
            print(f"{name} prefill of {prompt:4} in slices of {run['slice']}: {prefill:9.0f} tokens/s, {rate:6.1f} TFLOP/s, "
                  f"{100 * rate / PEAK:5.1f} % of {PEAK:.0f}{beside}")
        print(f"{name} load: {run['load_seconds']:6.2f} s, {run['weight_bytes'] / run['load_seconds'] / 1e9:5.1f} GB/s")


def kernels(ours, theirs):
    known = peers(theirs)
    for r in rows(ours):
        peer = known.get((r["model"], r["operation"], r["type"], r["tokens"], r["context"]))
        if peer is not None:
            print(f"{r['model']:5} {r['operation']:15} {r['type']:5} {r['tokens']:>5} behind {r['context']:>5}: {float(r['us']):10.1f} us, "
                  f"torch {peer:10.1f} us, floor {float(r['floor_us']):9.1f} us, {peer / float(r['us']):5.2f} x torch")


def main(arguments):
    if len(arguments) >= 2 and arguments[0] == "models":
        models(arguments[1], (float(arguments[2]) if len(arguments) > 2 else 0) or 3000.0, arguments[3] if len(arguments) > 3 else None)
    elif len(arguments) == 3 and arguments[0] == "kernels":
        kernels(arguments[1], arguments[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
