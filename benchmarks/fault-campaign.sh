#!/usr/bin/env bash
# Small pipelines, one after the other, over five services as processes; in each a service or a rank is killed (-9), or stopped for a few
# seconds, at a random moment. Every pipeline must end with the model that an undisturbed one makes.
#
#   benchmarks/fault-campaign.sh [PIPELINES=100] [SEED=1]      wants a release build of the services, the worker and the command line
#
# Prints a line a pipeline and a summary; ends with 1 when a pipeline failed or made another model. DROVER_ObjectStore__* and
# DROVER_Discovery__* of the environment are used as they are: so it runs over S3 and Consul too. FAULT_STORE names a shell command that
# restarts the object store or Consul; it is then one of the faults.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
count=${1:-100} RANDOM=${2:-1}
bin=$root/artifacts/bin
work=$(mktemp -d)
export DROVER_Drover__DataFolder=$work/data XDG_CONFIG_HOME=$work/config OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 DROVER_DataPrep__LeaseSeconds=2
declare -A program=([tokenizer]=Drover.Tokenizer [dataprep]=Drover.DataPrep [trainer]=Drover.Trainer [checkpoint]=Drover.Checkpoint [gateway]=Drover.Gateway)
declare -A pid

free() { ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=27500
until free $port && free $((port + 4)) && free $((port + 80)); do port=$((port + 100)); done
offset=0
for name in gateway tokenizer dataprep trainer checkpoint; do
  export "DROVER_Services__$name=http://127.0.0.1:$((port + offset))"
  offset=$((offset + 1))
done
export DROVER_GATEWAY=http://127.0.0.1:$port DROVER_Gateway__HttpAddress=

start() { mkdir -p "$work"; "$bin/${program[$1]}/release/${program[$1]}" >>"$work/$1.log" 2>&1 & pid[$1]=$!; disown; }
rank() { pgrep -n -f "Drover.Trainer.Worker.*$work" || true; } # the newest process whose command line names this campaign's folder
drover() { "$bin/Drover.Cli/release/drover" "$@"; }
stop_all() { for name in "${!pid[@]}"; do kill -9 "${pid[$name]}" 2>/dev/null || true; done; local r; r=$(rank); [ -z "$r" ] || kill -9 "$r" 2>/dev/null || true; }
trap 'stop_all; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT

for name in tokenizer dataprep checkpoint trainer gateway; do start $name; done
for _ in $(seq 1 120); do drover status >/dev/null 2>&1 && break; sleep 0.5; done

awk 'BEGIN { srand(7); split("the cat,a dog,my friend,the old man,a child", who, ","); split("sees,likes,finds,takes,draws", does, ","); split("a red ball,the small house,an apple,the long road,a blue bird", what, ",");
  for (i = 0; i < 3000; i++) printf "{\"text\": \"%s %s %s and %s %s %s.\"}\n", who[i%5+1], does[int(rand()*5)+1], what[int(rand()*5)+1], who[int(rand()*5)+1], does[int(rand()*5)+1], what[int(rand()*5)+1] }' >"$work/corpus.jsonl"
cat >"$work/config.json" <<'CONFIG'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 128,
 "initializer_range": 0.02, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2}
CONFIG

submit() { # a pipeline of its own name: nothing of an earlier one is found done
  cat >"$work/pipeline.yaml" <<PIPELINE
name: $1
inputs: { corpus: ./corpus.jsonl, config: ./config.json }
steps:
  - name: learn
    train_tokenizer: { sources: "\${inputs.corpus}", vocabulary_size: 320 }
  - name: rows
    prepare: { tokenizer: "\${steps.learn.tokenizer}", sources: "\${inputs.corpus}", format: pretrain, max_length: 64, task_bytes: 65536 }
  - name: train
    train:
      from_scratch: { config: "\${inputs.config}", seed: 1 }
      tokenizer: "\${steps.learn.tokenizer}"
      dataset: "\${steps.rows.dataset}"
      steps: 60
      global_batch_rows: 4
      micro_batch_rows: 4
      ranks: 1
      precision: fp32
      checkpoint_interval_steps: 15
      max_restarts: 5
      optimizer: { learning_rate: 1e-2 }
  - name: model
    export: { checkpoint: "\${steps.train.checkpoint}", tokenizer: "\${steps.learn.tokenizer}", data_type: fp32 }
PIPELINE
  drover run "$work/pipeline.yaml" --detach
}
digest() { # of the weights and the tokenizer
  rm -rf "$work/pulled"
  for _ in 1 2 3 4 5 6 7 8 9 10; do drover pull "models/$1-model" "$work/pulled" >"$work/pull.log" 2>&1 && break; sleep 1; done
  (cd "$work/pulled" && find . -type f ! -name '.*' | sort | xargs sha256sum | sha256sum | cut -c1-16)
}

watch_to_end() { # a gateway that restarts may come up after the command line gave up: ask again
  local code=0
  for _ in 1 2 3 4 5; do
    code=0
    drover jobs watch "$1" >"$work/watch.log" 2>&1 || code=$?
    [ $code = 3 ] || break
    sleep 1
  done
  return $code
}

name=$(submit undisturbed)
begun=$SECONDS
watch_to_end "$name" || { cat "$work/watch.log" >&2; exit 1; }
length=$((SECONDS - begun))
expected=$(digest undisturbed)
echo "undisturbed: $length s, model $expected"

faults=(kill:gateway kill:tokenizer kill:dataprep kill:trainer kill:checkpoint kill:rank stop:gateway stop:dataprep stop:trainer stop:rank)
[ -z "${FAULT_STORE:-}" ] || faults+=(store)
bad=0
declare -A done_of bad_of
for i in $(seq 1 "$count"); do
  fault=${faults[RANDOM % ${#faults[@]}]} run=fault-$i
  job=$(submit $run)
  sleep "$(awk -v r=$RANDOM -v l=$((length > 2 ? length : 2)) 'BEGIN { printf "%.2f", r / 32768 * l }')"
  target=${fault#*:} hit=yes
  case $target in
    rank) victim=$(rank); [ -n "$victim" ] || hit="no rank ran" ;;
    store) victim= ;;
    *) victim=${pid[$target]} ;;
  esac
  case $fault in
    kill:rank) [ -z "$victim" ] || kill -9 "$victim" 2>/dev/null || hit="no rank ran" ;;
    kill:*) kill -9 "$victim"; sleep 0.5; start "$target" ;;
    stop:*) if [ -n "$victim" ]; then kill -STOP "$victim" 2>/dev/null || true; sleep 4; kill -CONT "$victim" 2>/dev/null || true; fi ;;
    store) bash -c "$FAULT_STORE" >>"$work/store.log" 2>&1 ;;
  esac
  code=0
  watch_to_end "$job" || code=$?
  made=$([ $code = 0 ] && digest $run || echo none)
  done_of[$fault]=$((${done_of[$fault]:-0} + 1))
  if [ "$made" = "$expected" ]; then verdict=same; else verdict="DIFFERENT ($made): $(tail -1 "$work/watch.log")"; bad=$((bad + 1)); bad_of[$fault]=$((${bad_of[$fault]:-0} + 1)); fi
  echo "$i $fault hit=$hit $verdict"
done
echo "$count pipelines, $((count - bad)) with the undisturbed model, $bad not"
for fault in "${!done_of[@]}"; do echo "  $fault: ${done_of[$fault]} pipelines, ${bad_of[$fault]:-0} bad"; done | sort
[ $bad = 0 ]
