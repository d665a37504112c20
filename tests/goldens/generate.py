"""Writes the greedy continuations that transformers gives for a Hugging Face folder, in fp32, each prompt by itself.

usage: generate.py FOLDER PROMPTS OUTPUT
PROMPTS is a JSON list of {"ids": [...], "count": n, "penalty": p}; OUTPUT becomes a JSON list of lists of new ids.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

folder, prompts, target = sys.argv[1:]
texts = []
for prompt in json.load(open(prompts)):
    # A model of its own for each: dynamic frequencies remember the longest text so far.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config.eos_token_id = None
    ids = torch.tensor([prompt["ids"]])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=prompt["count"], repetition_penalty=prompt["penalty"], pad_token_id=0)
    texts.append(out[0, ids.shape[1]:].tolist())
json.dump(texts, open(target, "w"))
