"""Qwen2.5 models of random weights, as transformers and Qwen4J both read them."""
import json
import math
import os

# hidden, layers, heads, kv heads, ffn, vocabulary, tied
SHAPES = {
    "0.5B": (896, 24, 14, 2, 4864, 151936, True),
    "1.5B": (1536, 28, 12, 2, 8960, 151936, True),
    "3B": (2048, 36, 16, 2, 11008, 151936, True),
    "7B": (3584, 28, 28, 4, 18944, 152064, False),
    "14B": (5120, 48, 40, 8, 13824, 152064, False),
    "32B": (5120, 64, 40, 8, 27648, 152064, False),
    "72B": (8192, 80, 64, 8, 29568, 152064, False),
    "tiny": (128, 2, 4, 2, 256, 320, True),
    "tiny-untied": (192, 2, 6, 2, 320, 320, False),
}
# Standard deviation of logits: about that of trained models. Flat logits would let rounding choose tokens.
LOGIT_DEVIATION = 3.0
SHARD_BYTES = 4 << 30


def config(size):
    """config.json as Qwen publishes it."""
    hidden, layers, heads, kv_heads, ffn, vocabulary, tied = SHAPES[size]
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 32768,
        "max_window_layers": layers,
        "use_sliding_window": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "bos_token_id": 0 if vocabulary < 151643 else 151643,
        "eos_token_id": 1 if vocabulary < 151643 else 151645,
        "use_cache": True,
        "torch_dtype": "bfloat16",
    }


def deviation(name, shape, hidden):
    """Mean and standard deviation of a parameter: a product with a normed row has about the size of 1, as in qwen synthesize."""
    if name.endswith("norm.weight"):
        return 1.0, 0.1
    if name.endswith(".bias"):
        return 0.0, 0.1
    if "embed_tokens" in name or "lm_head" in name:
        return 0.0, LOGIT_DEVIATION / math.sqrt(hidden)
    return 0.0, 1 / math.sqrt(shape[-1])


def parameters(size):
    """Names and shapes of all tensors of a checkpoint."""
    hidden, layers, heads, kv_heads, ffn, vocabulary, tied = SHAPES[size]
    width = hidden // heads
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    for i in range(layers):
        at = f"model.layers.{i}."
        for name, rows in (("q", heads * width), ("k", kv_heads * width), ("v", kv_heads * width)):
            shapes[f"{at}self_attn.{name}_proj.weight"] = (rows, hidden)
            shapes[f"{at}self_attn.{name}_proj.bias"] = (rows,)
        shapes[f"{at}self_attn.o_proj.weight"] = (hidden, heads * width)
        shapes[f"{at}mlp.gate_proj.weight"] = (ffn, hidden)
        shapes[f"{at}mlp.up_proj.weight"] = (ffn, hidden)
        shapes[f"{at}mlp.down_proj.weight"] = (hidden, ffn)
        shapes[f"{at}input_layernorm.weight"] = (hidden,)
        shapes[f"{at}post_attention_layernorm.weight"] = (hidden,)
    return shapes


def values(size, matrices_only=False):
    return sum(math.prod(shape) for shape in parameters(size).values() if len(shape) == 2 or not matrices_only)


def transformers_config(size):
    """The configuration as transformers understands a published file; its rotary base is read back."""
    from transformers import Qwen2Config

    result = Qwen2Config.from_dict(config(size))
    scaling = getattr(result, "rope_parameters", None) or {}
    base = scaling.get("rope_theta", getattr(result, "rope_theta", None))
    if base != 1000000.0:
        raise SystemExit(f"transformers takes {base} as rotary base, expected 1000000")
    return result


def build(size, device, dtype, attention, seed=None):
    """A model of transformers; with a seed its weights are those of `deviation`, rounded to bfloat16, else as transformers makes them."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device(device):
        model = AutoModelForCausalLM.from_config(transformers_config(size), dtype=dtype, attn_implementation=attention)
    model.eval()
    found = {name: tuple(p.shape) for name, p in model.named_parameters()}
    if found != parameters(size):
        raise SystemExit(f"transformers has other tensors than expected: {sorted(set(found.items()) ^ set(parameters(size).items()))[:4]}")
    if seed is not None:
        generator = torch.Generator(device=device).manual_seed(seed)
        with torch.no_grad():
            for name, p in model.named_parameters():
                mean, size_of = deviation(name, p.shape, SHAPES[size][0])
                values = torch.randn(p.shape, generator=generator, device=device, dtype=torch.float32)
                p.copy_((mean + size_of * values).to(torch.bfloat16))
    return model


def save(model, size, directory):
    """A directory as Qwen publishes it, in bfloat16 and shards."""
    import torch

    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "config.json"), "w") as file:
        json.dump(config(size), file, indent=1)
    shards, held = [{}], 0
    for name, p in model.named_parameters():
        tensor = p.detach().to(torch.bfloat16).cpu().contiguous()
        bytes_of = tensor.numel() * 2
        if held + bytes_of > SHARD_BYTES and shards[-1]:
            write(shards, directory)
            shards.append({})
            held = 0
        shards[-1][name] = tensor
        held += bytes_of
    write(shards, directory)
    # Only now the number of shards is known, which is part of their names.
    for i in range(len(shards)):
        os.rename(os.path.join(directory, file_of(i)), os.path.join(directory, final(i, len(shards))))
    places = {name: final(i, len(shards)) for i, shard in enumerate(shards) for name in shard}
    index = {"metadata": {"total_size": 2 * values(size)}, "weight_map": places}
    with open(os.path.join(directory, "model.safetensors.index.json"), "w") as file:
        json.dump(index, file)


def write(shards, directory):
    from safetensors.torch import save_file

    save_file(shards[-1], os.path.join(directory, file_of(len(shards) - 1)), metadata={"format": "pt"})
    shards[-1] = dict.fromkeys(shards[-1])  # names alone


def file_of(i):
    return f"shard{i}"


def final(i, count):
    return f"model-{i + 1:05d}-of-{count:05d}.safetensors"
