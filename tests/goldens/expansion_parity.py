"""Writes expansion.golden.json: ids that SentencePiece and Hugging Face tokenizers give with tokenizers that Drover expanded.

usage: expansion_parity.py FOLDER INPUT OUTPUT
FOLDER holds llama2/ (tokenizer.model and tokenizer.json) and llama3/ (tokenizer.json), expanded by Drover with INPUT's pieces.
INPUT is JSON {"pieces": [...], "texts": [...]}. The three must agree, or nothing is written.
"""
import json
import sys

import sentencepiece
from tokenizers import Tokenizer

folder, source, target = sys.argv[1:]
data = json.load(open(source, encoding="utf-8"))
model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/llama2/tokenizer.model")
data["llama2"] = [model.encode(t) for t in data["texts"]]
for family in ("llama2", "llama3"):
    fast = Tokenizer.from_file(f"{folder}/{family}/tokenizer.json")
    ids = [fast.encode(t, add_special_tokens=False).ids for t in data["texts"]]
    assert family == "llama3" or ids == data["llama2"], "tokenizer.model and tokenizer.json disagree"
    data[family] = ids
json.dump(data, open(target, "w", encoding="utf-8"), ensure_ascii=True, separators=(",", ":"))
