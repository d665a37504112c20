#!/usr/bin/env bash
# How long training stands still for saving, and what memory a save takes: the same run with a save every EVERY steps and with none but the last,
# one after the other, over services as processes. Wants a release build of the services, the worker and the command line, and python3.
#   benchmarks/saving.sh [HIDDEN=512] [STEPS=151] [EVERY=50]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
hidden=${1:-512} steps=${2:-151} every=${3:-50}
. "$root/benchmarks/five-services.sh"

awk 'BEGIN { srand(7); for (i = 0; i < 6000; i++) { for (j = 0; j < 40; j++) s = s sprintf("%c%c%c ", 97+rand()*26, 97+rand()*26, 97+rand()*26); printf "{\"text\": \"%s\"}\n", s; s = "" } }' >"$work/corpus.jsonl"
cat >"$work/config.json" <<CONFIG
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": $hidden, "intermediate_size": $((hidden * 8 / 3 / 8 * 8)),
 "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 8, "hidden_act": "silu", "max_position_embeddings": 256,
 "initializer_range": 0.02, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2}
CONFIG
{
  cat <<'PIPELINE'
name: saving
inputs: { corpus: ./corpus.jsonl, config: ./config.json }
steps:
  - name: learn
    train_tokenizer: { sources: "${inputs.corpus}", vocabulary_size: 512 }
  - name: rows
    prepare: { tokenizer: "${steps.learn.tokenizer}", sources: "${inputs.corpus}", format: pretrain, max_length: 128 }
PIPELINE
  for run in none:1000000 saving:$every; do
    cat <<PIPELINE
  - name: ${run%:*}
    train: { from_scratch: { config: "\${inputs.config}", seed: 1 }, tokenizer: "\${steps.learn.tokenizer}", dataset: "\${steps.rows.dataset}", steps: $steps, global_batch_rows: 8, micro_batch_rows: 8, ranks: 1, precision: fp32, checkpoint_interval_steps: ${run#*:}, optimizer: { learning_rate: 1e-3 } }
PIPELINE
  done
} >"$work/pipeline.yaml"
job=$(drover run "$work/pipeline.yaml" --detach)
drover jobs watch "$job" --json >"$work/events.jsonl"
python3 - "$work/events.jsonl" <<'PY'
import json, sys
runs = {}
def find(value, key):
    if isinstance(value, dict):
        if key in value: return value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            if (found := find(part, key)) is not None: return found
    return None
for line in open(sys.argv[1]):
    event = json.loads(line)
    run = runs.setdefault(event.get("step", ""), {"steps": [], "memory": 0, "stalled": [], "writing": [], "bytes": 0})
    if metrics := find(event, "stepSeconds"):
        run["steps"].append(metrics["stepSeconds"]); run["memory"] = max(run["memory"], int(metrics.get("memoryBytes", 0)))
    if (saved := find(event, "sizeBytes")) and "checkpoint" in saved:
        run["stalled"].append(saved.get("stalledSeconds", 0)); run["writing"].append(saved.get("writeSeconds", 0)); run["bytes"] = int(saved["sizeBytes"])
for name in ("none", "saving"):
    run = runs[name]
    during = run["stalled"][:-1]  # the last save has nothing to go on beside
    total = sum(run["steps"])
    print(f"{name}: {len(run['steps'])} steps in {total:.1f} s (median {sorted(run['steps'])[len(run['steps']) // 2]:.3f}), {len(during)} saves of {run['bytes'] / 1e6:.0f} MB beside them, "
          f"written in {sum(run['writing'][:-1]):.2f} s, stood still {sum(during):.3f} s = {100 * sum(during) / (total + sum(during)):.2f} %, memory at most {run['memory'] / 1e6:.0f} MB")
PY
