"""Writes the logits that transformers gives for a Hugging Face folder, in fp32, one row a position.

usage: logits.py FOLDER IDS OUTPUT
IDS is a JSON list of token ids; OUTPUT becomes a JSON list of lists.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

folder, ids, target = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
with torch.no_grad():
    logits = model(torch.tensor([json.load(open(ids))])).logits[0]
json.dump(logits.tolist(), open(target, "w"))
