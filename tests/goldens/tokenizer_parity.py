"""Compares ids that Drover wrote (tests/Drover.Tokenization.ParityProgram) with SentencePiece, tokenizers, tiktoken and transformers.

usage: tokenizer_parity.py TEXTS IDS [--sp FOLDER] [--json FOLDER] [--auto FOLDER]... [--tiktoken RANKS] [--auto-limit N]
TEXTS holds a JSON string a line, IDS the ids (int32: their number, then they). --auto: AutoTokenizer of a folder, which may hold just one file.
Prints how many texts differ for each, and the first few.
"""
import argparse
import array
import json
import sys

p = argparse.ArgumentParser()
p.add_argument("texts")
p.add_argument("ids")
p.add_argument("--sp")
p.add_argument("--json")
p.add_argument("--auto", action="append", default=[])
p.add_argument("--tiktoken")
p.add_argument("--auto-limit", type=int, default=100000)
a = p.parse_args()
texts = [json.loads(line) for line in open(a.texts, encoding="utf-8")]
numbers = array.array("i")
numbers.frombytes(open(a.ids, "rb").read())
ours, at = [], 0
while at < len(numbers):
    ours.append(numbers[at + 1:at + 1 + numbers[at]].tolist())
    at += 1 + numbers[at]
assert len(ours) == len(texts), (len(ours), len(texts))
failed = False


def compare(name, theirs, limit=None):
    global failed
    n = len(texts) if limit is None else min(limit, len(texts))
    different = [i for i, ids in zip(range(n), theirs) if ids != ours[i]]
    print(f"{name}: {n} texts, {len(different)} differ", flush=True)
    for i in different[:5]:
        print("  ", json.dumps(texts[i]), "ours", ours[i])
    failed |= bool(different)


if a.sp:
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{a.sp}/tokenizer.model")
    compare("SentencePiece", (sp.encode(t) for t in texts))
if a.tiktoken:
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    encoding = tiktoken.Encoding("llama3", pat_str=pattern, mergeable_ranks=load_tiktoken_bpe(a.tiktoken), special_tokens={})
    compare("tiktoken", (encoding.encode_ordinary(t) for t in texts))
if a.json:
    from tokenizers import Tokenizer
    fast = Tokenizer.from_file(f"{a.json}/tokenizer.json")
    fast.encode_special_tokens = True
    compare("tokenizers", (fast.encode(t, add_special_tokens=False).ids for t in texts))
for folder in a.auto:
    from transformers import AutoTokenizer
    auto = AutoTokenizer.from_pretrained(folder)
    compare(f"AutoTokenizer {folder} ({type(auto).__name__})", (auto(t, add_special_tokens=False, split_special_tokens=True)["input_ids"] for t in texts[:a.auto_limit]), a.auto_limit)
sys.exit(failed)
