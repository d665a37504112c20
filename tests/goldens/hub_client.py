"""Loads models through a server that speaks the Hub's API, as any user of transformers does.

usage: hub_client.py ENDPOINT CACHE RESULT REPO[@REVISION]...

For each repository: logits of fixed ids, ids of a fixed text, and what snapshot_download fetched. The result is a JSON list.
"""
import json
import os
import sys

endpoint, cache, result, *repos = sys.argv[1:]
os.environ.update(HF_ENDPOINT=endpoint, HF_HOME=cache, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1")

import torch  # noqa: E402
from huggingface_hub import HfApi, snapshot_download  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

answers = []
for repo in repos:
    name, _, revision = repo.partition("@")
    revision = revision or None
    model = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    with torch.no_grad():
        logits = model(torch.arange(12).reshape(1, -1)).logits[0, -1]
    answers.append({
        "repo": repo,
        "logits": logits.tolist(),
        "ids": tokenizer("w5 w7 w9", add_special_tokens=False)["input_ids"],
        "files": sorted(os.listdir(snapshot_download(name, revision=revision))),
        "sha": HfApi().model_info(name, revision=revision).sha,
    })

with open(result, "w") as file:
    json.dump(answers, file)
