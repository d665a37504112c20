"""Loads an adapter in PEFT: its logits, in fp32, one row a position, and the adapter as PEFT saves it again.

usage: peft_logits.py MODEL ADAPTER IDS OUTPUT AGAIN
MODEL and ADAPTER are folders, IDS is a JSON list of token ids; OUTPUT becomes a JSON list of lists, or null where there is no PEFT; AGAIN
becomes a folder.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

folder, adapter, ids, target, again = sys.argv[1:]
try:
    from peft import PeftModel
except ImportError:
    json.dump(None, open(target, "w"))
    sys.exit()
base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(base, adapter).eval()
with torch.no_grad():
    logits = model(torch.tensor([json.load(open(ids))])).logits[0]
json.dump(logits.tolist(), open(target, "w"))
model.save_pretrained(again)
