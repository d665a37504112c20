"""Writes adapters.golden.json: what PEFT computes and writes for LoRA on tiny LLaMAs, in fp32.

usage: adapters.py OUTPUT

As families.py, value i of a tensor `name` is a function of both. A case holds the model's config, the adapter_config.json and the names and
shapes of adapter_model.safetensors as PEFT writes them, the logits of a row of documents with the adapter, the logits of the model that
PEFT merges, and the gradient of every trained tensor of the sum of the losses of all next tokens.
"""
import base64
import json
import os
import sys
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM, LlamaConfig

SIZES = dict(vocab_size=23, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, rms_norm_eps=1e-5)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "lora, biased": (dict(attention_bias=True, mlp_bias=True), dict(r=3, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"])),
    "rslora, head trained whole": ({}, dict(r=4, lora_alpha=6, target_modules=LINEAR, use_rslora=True, modules_to_save=["lm_head"])),
    "dora, biased, new rows": (dict(attention_bias=True), dict(r=2, lora_alpha=4, target_modules=LINEAR, use_dora=True,
                               trainable_token_indices={"embed_tokens": list(range(19, 23)), "lm_head": list(range(19, 23))})),
    "lora, tied, new rows": (dict(tie_word_embeddings=True), dict(r=2, lora_alpha=4, target_modules=["k_proj", "up_proj"],
                             trainable_token_indices={"embed_tokens": list(range(20, 23))})),
}
DOCUMENTS = [9, 1, 7]


def values(name, count):
    """Multiples of 1/65536 in [-0.5, 0.5), exact in fp32; norms and lengths of rows about 1."""
    i = torch.arange(count, dtype=torch.int64)
    key = 0
    for byte in name.encode():
        key = (key * 31 + byte) & 0xFFFFFFFF
    mixed = (i * 40503 + key) & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
    mixed = (mixed ^ (mixed >> 12)) & 0xFFFF
    return (mixed - 32768).float() / 65536 + (1 if "norm" in name or "magnitude" in name else 0)


def packed(tensor):
    return base64.b64encode(tensor.detach().contiguous().numpy().astype("<f4").tobytes()).decode()


def saved_name(parameter):
    """The name of a parameter in adapter_model.safetensors, without the prefix."""
    name = parameter.replace(".modules_to_save.default", "").replace(".default", "").removeprefix("base_model.model.")
    return name.removesuffix(".weight") if "lora_magnitude_vector" in name else name


def logits_of(model, ids):
    return [model(torch.tensor([part]), use_cache=False).logits[0] for part in documents(ids)]


def documents(ids):
    return [part.tolist() for part in torch.tensor(ids).split(DOCUMENTS)]


def case(name, changes, lora):
    config = LlamaConfig(**SIZES, **changes)
    base = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for weight, tensor in base.named_parameters():
            tensor.copy_(values(weight, tensor.numel()).view(tensor.shape))
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **lora)).eval()
    trained = {saved_name(n): p for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for weight, tensor in trained.items():
            tensor.copy_(values("trained " + weight, tensor.numel()).view(tensor.shape))
    ids = [(7 * i * i + 3 * i + 5) % SIZES["vocab_size"] for i in range(sum(DOCUMENTS))]
    logits = logits_of(model, ids)
    loss = sum(torch.nn.functional.cross_entropy(s[:-1], torch.tensor(part[1:], dtype=torch.long), reduction="sum") for part, s in zip(documents(ids), logits))
    loss.backward()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as text:
            written = json.load(text)
            written["target_modules"].sort()
        with safe_open(os.path.join(folder, "adapter_model.safetensors"), "pt") as file:
            shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}
            for key in file.keys():
                assert torch.equal(file.get_tensor(key), trained[key.removeprefix("base_model.model.")]), key
    gradients = {weight: packed(tensor.grad) for weight, tensor in trained.items()}
    merged = torch.cat(logits_of(model.merge_and_unload(), ids))
    return {"name": name, "config": json.loads(config.to_json_string()), "adapter_config": written, "shapes": shapes, "documents": DOCUMENTS,
            "ids": ids, "logits": packed(torch.cat(logits)), "merged": packed(merged), "gradients": gradients}


with open(sys.argv[1], "w", encoding="utf-8") as target:
    lines = [json.dumps(case(name, *what), separators=(",", ":"), sort_keys=True) for name, what in CASES.items()]
    target.write("[" + ",\n".join(lines) + "]\n")
