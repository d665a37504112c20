"""What transformers' chat template engine writes, to compare Drover.ChatTemplates with.

usage: chat_templates.py OUTPUT TEMPLATE...
TEMPLATEs are Jinja files (or one JSON file {name: template}); each is rendered with every conversation below, with and without a generation
prompt. OUTPUT: a JSON list of {name, template, messages, variables, add_generation_prompt, text | error}.
"""
import json
import os
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather <now> & \"later\" in a city, z.B. Köln.", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "A city"}, "days": {"type": "integer", "enum": [1, 3]}}, "required": ["city"]}}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 3}}}]}
CONVERSATIONS = [
    ([{"role": "user", "content": "Hi"}], {}),
    ([{"role": "system", "content": " Be brief. \n"}, {"role": "user", "content": "  What's 2 + 2?\n"}, {"role": "assistant", "content": " 4 "}, {"role": "user", "content": "And <3 & \"quotes\" 'x'?"}], {}),
    ([{"role": "user", "content": "你好，世界 🎉"}, {"role": "assistant", "content": "<think>\nlet me see\n</think>\n\n好"}, {"role": "user", "content": "再见"}, {"role": "assistant", "content": "bye"}], {}),
    ([{"role": "user", "content": "Weather?"}, CALL, {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": "{\"temperature\": 21.5}"}], {"tools": TOOLS}),
    ([{"role": "user", "content": [{"type": "text", "text": "Parts"}, {"type": "text", "text": " of text"}]}], {}),
    ([{"role": "assistant", "content": "I begin"}, {"role": "assistant", "content": "twice"}], {}),
    ([{"role": "user", "content": "Think", "reasoning_content": "x"}, {"role": "assistant", "content": "done", "reasoning_content": "hm\nhm"}, {"role": "user", "content": "more"}], {"enable_thinking": False}),
]
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

output, *paths = sys.argv[1:]
templates = {}
for path in paths:
    text = open(path, encoding="utf-8").read()
    templates.update(json.loads(text) if path.endswith(".json") else {os.path.basename(path): text})
results = []
for name, template in templates.items():
    compiled = _compile_jinja_template(template)
    for messages, more in CONVERSATIONS:
        for prompt in (False, True):
            variables = {**NAMES, "date_string": "26 Jul 2024", "tools": None, "documents": None, **more}
            result = dict(name=name, template=template, messages=messages, variables=variables, add_generation_prompt=prompt)
            try:
                result["text"] = compiled.render(messages=messages, add_generation_prompt=prompt, **variables)
            except Exception as e:  # a refusal, or a template that cannot take these messages
                result["error"] = f"{type(e).__name__}: {e}"
            results.append(result)
json.dump(results, open(output, "w", encoding="utf-8"), ensure_ascii=True, separators=(",", ":"))
print(len(templates), "templates", len(results), "renderings", sum("error" in r for r in results), "errors")
