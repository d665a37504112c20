"""Writes families.golden.json: what transformers computes for tiny models of every family and every switch, in fp32.

usage: families.py OUTPUT

Nothing random is stored: value i of weight `name` is a function of both that a test can compute again (see `values`). A case holds the
config.json as given and as transformers writes it, a row of several documents (positions start again with each, attention stays inside),
its logits, and for some cases the gradient of every weight of the sum of the losses of all next tokens. Numbers are base64 of fp32.
"""
import base64
import json
import sys

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

SIZES = dict(vocab_size=37, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
WITH_GRADIENTS = {"qwen3, biased, tied, sliding layers", "mistral", "llama, biased, wide heads, yarn"}


def old(**rope):
    return {"rope_theta": 1000.0, "rope_scaling": rope}


def new(**rope):
    return {"rope_parameters": {"rope_theta": 1000.0, **rope}}


CASES = {
    "llama 1": ("llama", {"num_key_value_heads": 4}),
    "llama 2, rope_theta": ("llama", {"rope_theta": 500000.0}),
    "llama, linear, legacy": ("llama", old(type="linear", factor=2.5)),
    "llama, linear": ("llama", new(rope_type="linear", factor=2.5)),
    "llama, dynamic within its length, legacy": ("llama", old(type="dynamic", factor=2.0)),
    "llama, dynamic": ("llama", {**new(rope_type="dynamic", factor=2.0), "max_position_embeddings": 16}),
    "llama 3.1, legacy": ("llama", old(rope_type="llama3", **LLAMA3)),
    "llama 3.2, tied": ("llama", {**new(rope_type="llama3", **LLAMA3), "tie_word_embeddings": True}),
    "llama, yarn, legacy": ("llama", old(type="yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama, biased, wide heads, yarn": ("llama", {**new(rope_type="yarn", factor=4.0, beta_fast=8.0, beta_slow=2.0, truncate=False, mscale=1.0,
                                        mscale_all_dim=0.5, original_max_position_embeddings=16), "attention_bias": True, "mlp_bias": True, "head_dim": 10}),
    "mistral": ("mistral", {"sliding_window": 7, "head_dim": 8}),
    "mistral without a window": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {"sliding_window": 7}),
    "qwen2, sliding from a layer on": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "qwen3, biased, tied, sliding layers": ("qwen3", {**new(rope_type="yarn", factor=2.0, original_max_position_embeddings=32), "head_dim": 8, "attention_bias": True,
                                            "tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 6,
                                            "layer_types": ["sliding_attention", "full_attention"]}),
}
DOCUMENTS = [11, 1, 17]
# Dynamic frequencies of transformers follow the longest document of a row, and stay long; Drover's follow each document. So here the
# documents run alone, the long one last.
ALONE = {"llama, dynamic"}


def values(name, count):
    """Multiples of 1/65536 in [-0.5, 0.5), exact in fp32; norms about 1."""
    i = torch.arange(count, dtype=torch.int64)
    key = 0
    for byte in name.encode():
        key = (key * 31 + byte) & 0xFFFFFFFF
    mixed = (i * 40503 + key) & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 12)) & 0xFFFF
    return (mixed - 32768).float() / 65536 + (1 if "norm" in name else 0)


def packed(tensor):
    return base64.b64encode(tensor.detach().contiguous().numpy().astype("<f4").tobytes()).decode()


def case(name, model_type, changes):
    given = {**SIZES, **changes, "model_type": model_type}
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type].from_dict(dict(given)), dtype=torch.float32, attn_implementation="eager").eval()
    given["architectures"] = model.config.architectures = [type(model).__name__]
    with torch.no_grad():
        for weight, tensor in model.named_parameters():
            tensor.copy_(values(weight, tensor.numel()).view(tensor.shape))
    ids = [(7 * i * i + 3 * i + 5) % SIZES["vocab_size"] for i in range(sum(DOCUMENTS))]
    positions = [p for n in DOCUMENTS for p in range(n)]
    alone = torch.cat([model(torch.tensor([part]), use_cache=False).logits[0] for part in documents(ids)])
    logits = alone if name in ALONE else model(torch.tensor([ids]), position_ids=torch.tensor([positions]), use_cache=False).logits[0]
    # A row gives what its documents give alone: transformers did keep them apart.
    assert (alone - logits).abs().max() < 1e-5, name
    result = {"name": name, "given": given, "written": json.loads(model.config.to_json_string()), "documents": DOCUMENTS, "ids": ids, "logits": packed(logits)}
    if name in WITH_GRADIENTS:
        loss = 0
        for part, scores in zip(documents(ids), logits.split(DOCUMENTS)):
            loss = loss + torch.nn.functional.cross_entropy(scores[:-1], torch.tensor(part[1:], dtype=torch.long), reduction="sum")
        loss.backward()
        result["gradients"] = {weight: packed(tensor.grad) for weight, tensor in model.named_parameters()}
    return result


def documents(ids):
    return [part.tolist() for part in torch.tensor(ids).split(DOCUMENTS)]


with open(sys.argv[1], "w", encoding="utf-8") as target:
    lines = [json.dumps(case(name, *what), separators=(",", ":")) for name, what in CASES.items()]
    target.write("[" + ",\n".join(lines) + "]\n")
