"""Compares ids that Drover wrote (tests/Drover.Tokenization.ParityProgram) with SentencePiece, tokenizers, tiktoken and transformers.

usage: tokenizer_parity.py TEXTS IDS [--sp FOLDER] [--json FOLDER] [--auto FOLDER]... [--auto-model FOLDER]... [--tiktoken RANKS] [--auto-limit N]
TEXTS holds a JSON string a line, IDS the ids (int32: their number, then they). --auto: AutoTokenizer of a folder with tokenizer.json.
--auto-model: of a folder with tokenizer.model alone and the class LlamaTokenizer; transformers then leaves the dummy prefix out before a
space, where SentencePiece does not, and merges runs of spaces (pieces of one score) in another order, for every LLaMA-2 vocabulary; so texts
that begin with a space or hold two together are left out.
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
p.add_argument("--auto-model", action="append", default=[])
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


def compare(name, encode, limit=None, wanted=lambda text: True):
    global failed
    chosen = [i for i in range(len(texts) if limit is None else min(limit, len(texts))) if wanted(texts[i])]
    different = [i for i in chosen if encode(texts[i]) != ours[i]]
    print(f"{name}: {len(chosen)} texts, {len(different)} differ", flush=True)
    for i in different[:5]:
        print("  ", json.dumps(texts[i]), "ours", ours[i])
    failed |= bool(different)


if a.sp:
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{a.sp}/tokenizer.model")
    compare("SentencePiece", sp.encode)
if a.tiktoken:
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    encoding = tiktoken.Encoding("llama3", pat_str=pattern, mergeable_ranks=load_tiktoken_bpe(a.tiktoken), special_tokens={})
    compare("tiktoken", encoding.encode_ordinary)
if a.json:
    from tokenizers import Tokenizer
    fast = Tokenizer.from_file(f"{a.json}/tokenizer.json")
    fast.encode_special_tokens = True
    compare("tokenizers", lambda t: fast.encode(t, add_special_tokens=False).ids)
for folder in a.auto + a.auto_model:
    from transformers import AutoTokenizer
    auto = AutoTokenizer.from_pretrained(folder)
    compare(
        f"AutoTokenizer {folder} ({type(auto).__name__})",
        lambda t: auto(t, add_special_tokens=False, split_special_tokens=True)["input_ids"],
        a.auto_limit,
        lambda t: folder in a.auto or not (t.startswith((" ", "\u2581")) or "  " in t.replace("\u2581", " ")))
sys.exit(failed)
