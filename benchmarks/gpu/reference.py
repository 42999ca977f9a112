#!/usr/bin/env python3
"""Holds Qwen4J against transformers: models of random weights in the real shapes, in single precision on the same device.

  reference.py --qwen COMMAND [--sizes 0.5B,1.5B,7B] [--work DIRECTORY] [--seconds S] [--device cuda] [--backend cuda] [--seed N]

For each size: logits of a sequence, whose relative deviation from transformers in float32 is set beside that of transformers in
bfloat16; and greedy tokens, where the first one that differs must be one that the reference finds about as likely. Exit status 1 if one
fails.
"""
import argparse
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import qwen_models

PROMPT = 192
GREEDY = 64


def read_logits(path):
    """The one F32 tensor of `qwen logits`."""
    import numpy

    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        tensor = header["logits"]
        if tensor["dtype"] != "F32":
            raise SystemExit(f"{path}: logits of type {tensor['dtype']}")
        return numpy.fromfile(file, dtype="<f4").reshape(tensor["shape"])


def relative(actual, expected):
    """|actual - expected| / |expected - mean|: what all logits of a row have in common changes nothing."""
    import numpy

    a = actual.astype(numpy.float64) - actual.mean(axis=1, keepdims=True, dtype=numpy.float64)
    e = expected.astype(numpy.float64) - expected.mean(axis=1, keepdims=True, dtype=numpy.float64)
    result = float(numpy.linalg.norm(a - e) / numpy.linalg.norm(e))
    return result if numpy.isfinite(actual).all() else float("nan")


def compare(actual, expected, bound):
    """What is wrong, or None. A choice may differ where the reference has two tokens that are nearly alike."""
    import numpy

    if actual.shape != expected.shape:
        return f"{actual.shape} logits, expected {expected.shape}"
    deviation = relative(actual, expected)
    if not deviation <= bound:
        return f"deviation {deviation:.2e} exceeds {bound:.2e}"
    noise = deviation * float(expected.std())
    rows = numpy.arange(len(expected))
    behind = expected.max(axis=1) - expected[rows, actual.argmax(axis=1)]
    if behind.max() > 8 * noise:
        return f"after token {int(behind.argmax())} a token is chosen that is {behind.max():.3f} behind, noise {noise:.3f}"
    return None


def compare_tokens(actual, expected, gaps, noise):
    """(tokens that agree, what is wrong or None); gaps are those of the reference's logits to its second choice."""
    if len(actual) != len(expected):
        return 0, f"{len(actual)} tokens, expected {len(expected)}"
    for i, (a, e) in enumerate(zip(actual, expected)):
        if a != e:
            wrong = None if gaps[i] <= 8 * noise else f"token {i} differs where the reference is {gaps[i]:.3f} ahead, noise {noise:.3f}"
            return i, wrong
    return len(expected), None


class Qwen:
    def __init__(self, command, backend):
        self.command = shlex.split(command)
        self.backend = backend

    def run(self, *arguments):
        done = subprocess.run([*self.command, *arguments, "--backend", self.backend], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"qwen {arguments[0]} fails: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def logits(self, model, ids, file, *options):
        self.run("logits", model, "--ids", ",".join(map(str, ids)), "--output", file, *options)
        return read_logits(file)

    def greedy(self, model, ids, count):
        text = self.run("generate", model, "--ids", ",".join(map(str, ids)), "--print-ids", "--greedy", "--ignore-end",
                        "--max-tokens", str(count))
        return [int(id) for id in text.split()]


def greedy(model, ids, count):
    """Tokens, and how far each is ahead of the second."""
    import torch

    cache, tokens, gaps = None, [], []
    given = ids
    for _ in range(count):
        out = model(input_ids=given, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = torch.topk(out.logits[0, -1].float(), 2)
        tokens.append(int(best.indices[0]))
        gaps.append(float(best.values[0] - best.values[1]))
        given = best.indices[:1].reshape(1, 1)
    return tokens, gaps


def check(size, qwen, work, device, seed):
    import torch

    directory = os.path.join(work, size)
    count = min(PROMPT, qwen_models.SHAPES[size][5] // 2)
    ids = torch.randint(0, qwen_models.SHAPES[size][5], (1, count), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        model = qwen_models.build(size, device, torch.float32, "eager", seed)
        qwen_models.save(model, size, directory)
        expected = model(input_ids=ids.to(device), use_cache=False).logits[0].float().cpu().numpy()
        tokens, gaps = greedy(model, ids.to(device), GREEDY)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()
        half = qwen_models.build(size, device, torch.bfloat16, "sdpa", seed)
        theirs = half(input_ids=ids.to(device), use_cache=False).logits[0].float().cpu().numpy()
        del half
        if device == "cuda":
            torch.cuda.empty_cache()
    yardstick = relative(theirs, expected)
    bound = max(1.2 * yardstick, 2e-3)
    given = ids[0].tolist()
    failed = False
    for name, options in (("keys in f32", ()), ("keys in f16", ("--kv-cache", "f16"))):
        ours = qwen.logits(directory, given, os.path.join(work, "logits.safetensors"), *options)
        wrong = compare(ours, expected, bound)
        agree = float((ours.argmax(axis=1) == expected.argmax(axis=1)).mean())
        failed |= wrong is not None
        print(f"{size:5} logits, {name}: deviation {relative(ours, expected):.2e} (transformers in bfloat16 {yardstick:.2e}), "
              f"same choice {100 * agree:.1f} %: {wrong or 'ok'}", flush=True)
    noise = yardstick * float(expected.std())
    same, wrong = compare_tokens(qwen.greedy(directory, given, GREEDY), tokens, gaps, noise)
    failed |= wrong is not None
    print(f"{size:5} greedy: {same} of {GREEDY} tokens as in float32: {wrong or 'ok'}", flush=True)
    shutil.rmtree(directory)
    return not failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--qwen", required=True)
    parser.add_argument("--sizes", default="0.5B,1.5B,7B")
    parser.add_argument("--work")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    begin, fine, seconds_per_value = time.monotonic(), True, 0.0
    qwen = Qwen(options.qwen, options.backend)
    work = tempfile.mkdtemp(dir=options.work)
    print(f"seed {options.seed}")
    try:
        for size in options.sizes.split(","):
            started = time.monotonic()
            values = qwen_models.values(size)
            if started - begin + seconds_per_value * values > options.seconds:
                print(f"{size:5} left out: the time is up")
                continue
            fine &= check(size, qwen, work, options.device, options.seed)
            seconds_per_value = (time.monotonic() - started) / values
    finally:
        shutil.rmtree(work)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
