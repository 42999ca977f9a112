#!/usr/bin/env python3
"""Times of torch's matrix product and attention on the shapes of Qwen2.5, and of transformers end to end.

  peers.py [--sizes 7B,0.5B,1.5B,14B] [--seconds S] [--csv FILE] [--device cuda]

The columns of the file are those of bench_cuda's, so that tables.py sets both side by side. Weights are rotated beyond the cache; short
calls are timed as replays of a graph.
"""
import argparse
import statistics
import sys
import time

import qwen_models

BEYOND_CACHE = 256 << 20
TOKENS = (1, 4, 8, 16, 32, 64, 128, 512, 2048, 8192)


class Clock:
    """Median microseconds of one call."""

    def __init__(self, device):
        self.device = device

    def once(self, work):
        import torch

        if self.device != "cuda":
            begin = time.perf_counter()
            work()
            return 1e6 * (time.perf_counter() - begin)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        return 1e3 * begin.elapsed_time(end)

    def of(self, call, sets, graph=True):
        """call(i) computes with set i."""
        import torch

        for i in range(min(sets, 3)):
            call(i)
        single = self.once(lambda: call(0))
        calls = 1 if self.device != "cuda" else max(1, min(400, int(2000 / max(single, 1))))

        def work():
            for i in range(calls):
                call(i % sets)

        run = work
        if graph and self.device == "cuda":
            torch.cuda.synchronize()
            kept = torch.cuda.CUDAGraph()
            with torch.cuda.graph(kept):
                work()
            run = kept.replay
        run()
        most = 2 if single > 1e5 else 9
        return statistics.median(self.once(run) / calls for _ in range(most))


class Table:
    def __init__(self, path, seconds):
        self.file = open(path, "w") if path else None
        self.begin, self.seconds, self.left_out = time.monotonic(), seconds, 0
        self.write("model,operation,type,tokens,context,us")

    def write(self, line):
        if self.file:
            print(line, file=self.file, flush=True)

    def time_is_left(self):
        left = time.monotonic() - self.begin < self.seconds
        self.left_out += not left
        return left

    def add(self, model, operation, kind, tokens, context, call):
        if self.time_is_left():
            self.write(f"{model},{operation},{kind},{tokens},{context},{call():.2f}")


def ceilings(clock, device):
    import torch

    n = 8192 if device == "cuda" else 64
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty(n, n, device=device, dtype=torch.bfloat16)
    product = clock.of(lambda i: torch.matmul(a, b.t(), out=out), 1)
    bytes_of = (2 << 30) if device == "cuda" else (1 << 16)
    source = torch.randint(-128, 127, (bytes_of,), device=device, dtype=torch.int8)
    target = torch.empty_like(source)
    copy = clock.of(lambda i: target.copy_(source), 1)
    print(f"torch: {n}x{n}x{n} bfloat16 {2 * n**3 / product / 1e6:.1f} TFLOP/s, copy {2 * bytes_of / copy / 1e3:.1f} GB/s", flush=True)


def products(table, clock, size, device, tokens):
    import torch

    hidden, _, heads, kv_heads, ffn, vocabulary, _ = qwen_models.SHAPES[size]
    width = hidden // heads
    shapes = (("qkv", (heads + 2 * kv_heads) * width, hidden), ("o", hidden, heads * width), ("gate+up", 2 * ffn, hidden),
              ("down", hidden, ffn), ("head", vocabulary, hidden))
    for name, rows, columns in shapes:
        if not table.time_is_left():
            continue
        sets = max(1, BEYOND_CACHE // (2 * rows * columns)) if device == "cuda" else 1
        weights = [torch.randn(rows, columns, device=device, dtype=torch.bfloat16) for _ in range(sets)]
        for count in tokens:
            if name == "head" and count > 128:
                continue
            x = torch.randn(count, columns, device=device, dtype=torch.bfloat16)
            out = torch.empty(count, rows, device=device, dtype=torch.bfloat16)
            table.add(size, name, "BF16", count, 0, lambda: clock.of(lambda i: torch.matmul(x, weights[i].t(), out=out), sets))


def attention(table, clock, size, device, contexts, slices):
    import torch
    from torch.nn.attention.bias import causal_lower_right
    from torch.nn.functional import scaled_dot_product_attention as attend

    hidden, _, heads, kv_heads, _, _, _ = qwen_models.SHAPES[size]
    width = hidden // heads

    def random(*shape):
        return torch.randn(*shape, device=device, dtype=torch.bfloat16)

    for context in contexts:
        for batch in (1, 8, 32):
            if not table.time_is_left():
                continue
            bytes_of = 4 * batch * kv_heads * (context + 1) * width
            sets = max(1, min(64, BEYOND_CACHE // bytes_of)) if device == "cuda" else 1
            q = random(batch, heads, 1, width)
            kv = [(random(batch, kv_heads, context + 1, width), random(batch, kv_heads, context + 1, width)) for _ in range(sets)]
            table.add(size, "decode attend", "f16", batch, context,
                      lambda: clock.of(lambda i: attend(q, kv[i][0], kv[i][1], enable_gqa=True), sets))
    for context, count in [(0, n) for n in slices] + [(c, slices[0] if device != "cuda" else 512) for c in contexts]:
        if not table.time_is_left():
            continue
        q, k, v = random(1, heads, count, width), random(1, kv_heads, context + count, width), random(1, kv_heads, context + count, width)
        if context == 0:
            table.add(size, "prefill attend", "f16", count, 0,
                      lambda: clock.of(lambda i: attend(q, k, v, is_causal=True, enable_gqa=True), 1))
        else:
            # This mask takes as many heads of keys as of queries.
            k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
            mask = causal_lower_right(count, context + count)
            table.add(size, "prefill attend", "f16", count, context,
                      lambda: clock.of(lambda i: attend(q, k, v, attn_mask=mask), 1, graph=False))


def end_to_end(table, size, device, batches, prompts, steps):
    """A loop without generate(), whose checks of each token cost more."""
    import torch

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.inference_mode():
        model = qwen_models.build(size, device, torch.bfloat16, "sdpa")
        for batch in batches:
            if not table.time_is_left():
                continue
            rates = []
            for _ in range(3):
                given = torch.randint(0, 300, (batch, 1), device=device)
                cache = None
                for step in range(steps + 4):
                    if step == 4:
                        wait()
                        begin = time.perf_counter()
                    out = model(input_ids=given, past_key_values=cache, use_cache=True)
                    cache, given = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
                wait()
                rates.append(batch * steps / (time.perf_counter() - begin))
            table.write(f"{size},transformers decode,BF16,{batch},0,{1e6 * batch / statistics.median(rates):.2f}")
            print(f"transformers {size:5} decode, {batch:2} sequences: {statistics.median(rates):9.1f} tokens/s", flush=True)
        for prompt in prompts:
            if not table.time_is_left():
                continue
            rates = []
            for i in range(4):
                ids = torch.randint(0, 300, (1, prompt), device=device)
                wait()
                begin = time.perf_counter()
                model(input_ids=ids, use_cache=True, logits_to_keep=1)
                wait()
                if i > 0:
                    rates.append(prompt / (time.perf_counter() - begin))
            table.write(f"{size},transformers prefill,BF16,{prompt},0,{1e6 * prompt / statistics.median(rates):.2f}")
            print(f"transformers {size:5} prefill of {prompt}: {statistics.median(rates):9.0f} tokens/s", flush=True)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="7B,0.5B,1.5B,14B")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--csv")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    import torch

    print(f"torch {torch.__version__}" + (f", {torch.cuda.get_device_name()}" if options.device == "cuda" else ""), flush=True)
    small = options.device != "cuda"
    clock, table = Clock(options.device), Table(options.csv, options.seconds)
    with torch.inference_mode():
        ceilings(clock, options.device)
        for size in options.sizes.split(","):
            end_to_end(table, size, options.device, (1, 2) if small else (1, 8, 32), (16,) if small else (2048, 8192), 4 if small else 64)
        for size in options.sizes.split(","):
            products(table, clock, size, options.device, (1, 8) if small else TOKENS)
            attention(table, clock, size, options.device, (40,) if small else (1024, 8192, 32768), (9,) if small else (512, 2048, 8192))
    if table.left_out:
        print(f"{table.left_out} measurements were left out: the time was up")


if __name__ == "__main__":
    sys.exit(main())
