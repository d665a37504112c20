"""Ids that transformers' apply_chat_template gives for real conversations: writes sft.golden.json.

Usage: python3 sft.py SHARED_DATA OUT. For each file, template and conversation: the CRC-32 of its ids as little-endian int32.
"""

import json
import os
import struct
import sys
import zlib

from sentencepiece import SentencePieceProcessor
from transformers import LlamaTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set turns = messages %}{% set system = false %}{% endif %}{% for message in turns %}"
    "{% if loop.index0 == 0 and system != false %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content | trim + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}"
)
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
)
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def special_tokens():
    named = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
             "<|reserved_special_token_2|>", "<|reserved_special_token_3|>", "<|start_header_id|>", "<|end_header_id|>",
             "<|reserved_special_token_4|>", "<|eot_id|>"]
    return named + [f"<|reserved_special_token_{i}|>" for i in range(5, 251)]


def tokenizers(data):
    # From tokenizer.model alone, transformers 5 makes other merges than SentencePiece does; so they are given: the pieces in the order of
    # their scores, each with all its splits.
    model = SentencePieceProcessor(model_file=os.path.join(data, "tokenizers/llama2.tokenizer.model"))
    vocabulary = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    merges = []
    for piece, _ in sorted(((p, i) for p, i in vocabulary.items() if model.get_score(i) <= 0 and not model.is_byte(i)), key=lambda x: -model.get_score(x[1])):
        merges += [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in vocabulary and piece[k:] in vocabulary]
    llama2 = LlamaTokenizer(vocab=vocabulary, merges=merges, legacy=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    converted = TikTokenConverter(os.path.join(data, "tokenizers/llama3.tokenizer.model"), pattern=PATTERN).converted()
    converted.add_special_tokens(special_tokens())
    llama3 = PreTrainedTokenizerFast(tokenizer_object=converted, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>")
    return {"llama2": llama2, "llama3": llama3}


def turns(record, tool):
    if "instruction" in record:
        text = record["instruction"]
        if record.get("input", "").strip():
            text = text.strip() + "\n" + record["input"].strip()
        return [("user", text), ("assistant", record["output"])]
    roles = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": tool}
    out = [(roles[m["from"]], m["value"]) for m in record["conversations"]]
    system = [record["system"]] if record.get("system", "").strip() else []
    tools = record.get("tools", "").strip()
    if tools and tools != "[]":
        system.append("Tools: " + tools)
    return ([("system", "\n".join(system))] if system else []) + out


def joined(messages):
    out = []
    for role, text in messages:
        text = text if role == "system" else text.strip()
        if out and out[-1][0] == role:
            out[-1] = (role, out[-1][1] + "\n" + text)
        else:
            out.append((role, text))
    return out


def main(data, target):
    golden = {}
    known = tokenizers(data)
    for file in ["alpaca_zh_demo.json", "glaive_toolcall_en_demo.json", "identity.json"]:
        records = json.load(open(os.path.join(data, "sft", file), encoding="utf-8"))
        for name, tokenizer, template, tool in [
                ("llama2", "llama2", LLAMA2, "user"), ("llama3", "llama3", LLAMA3, "ipython"),
                ("chatml", "llama2", CHATML, "tool"), ("chatml-llama3", "llama3", CHATML, "tool")]:
            crcs = []
            for record in records:
                messages = turns(record, tool)
                if name == "llama2":
                    messages = joined(messages)
                ids = known[tokenizer].apply_chat_template(
                    [{"role": r, "content": c} for r, c in messages], chat_template=template, tokenize=True, return_dict=False)
                crcs.append(zlib.crc32(struct.pack(f"<{len(ids)}i", *ids)))
            golden[f"{file}/{name}"] = crcs
    with open(target, "w") as f:
        json.dump(golden, f, separators=(",", ":"))


if __name__ == "__main__":
    main(*sys.argv[1:])
