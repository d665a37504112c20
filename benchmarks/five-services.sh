# Sourced by benchmarks that need Drover as five processes: a data folder of their own, free ports, the first key; and a small corpus
# and config in $work. Wants a release build of the services, the worker and the command line, and $root.
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
export DROVER_GATEWAY=http://127.0.0.1:$port DROVER_Gateway__HttpAddress= DROVER_Checkpoint__HubAddress=

start() { mkdir -p "$work"; "$bin/${program[$1]}/release/${program[$1]}" >>"$work/$1.log" 2>&1 & pid[$1]=$!; disown; }
rank() { pgrep -n -f "Drover.Trainer.Worker.*$work" || true; } # the newest process whose command line names this campaign's folder
drover() { "$bin/Drover.Cli/release/drover" "$@"; }
stop_all() { for name in "${!pid[@]}"; do kill -9 "${pid[$name]}" 2>/dev/null || true; done; local r; r=$(rank); [ -z "$r" ] || kill -9 "$r" 2>/dev/null || true; }
trap 'stop_all; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT

for name in tokenizer dataprep checkpoint trainer gateway; do start $name; done
for _ in $(seq 1 120); do drover status >/dev/null 2>&1 && break; sleep 0.5; done

awk 'BEGIN { srand(7); split("the cat,a dog,my friend,the old man,a child", who, ","); split("sees,likes,finds,takes,draws", does, ","); split("a red ball,the small house,an apple,the long road,a blue bird", what, ",");
  for (i = 0; i < 600; i++) printf "{\"text\": \"%s %s %s and %s %s %s.\"}\n", who[i%5+1], does[int(rand()*5)+1], what[int(rand()*5)+1], who[int(rand()*5)+1], does[int(rand()*5)+1], what[int(rand()*5)+1] }' >"$work/corpus.jsonl"
cat >"$work/config.json" <<'CONFIG'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64,
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 128,
 "initializer_range": 0.02, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2}
CONFIG

write_pipeline() { # the smallest pipeline, of its own name: nothing of an earlier one is found done
  cat >"$work/pipeline.yaml" <<PIPELINE
name: $1
inputs: { corpus: ./corpus.jsonl, config: ./config.json }
steps:
  - name: learn
    train_tokenizer: { sources: "\${inputs.corpus}", vocabulary_size: 320 }
  - name: rows
    prepare: { tokenizer: "\${steps.learn.tokenizer}", sources: "\${inputs.corpus}", format: pretrain, max_length: 64, task_bytes: 16384 }
  - name: train
    train:
      from_scratch: { config: "\${inputs.config}", seed: 1 }
      tokenizer: "\${steps.learn.tokenizer}"
      dataset: "\${steps.rows.dataset}"
      steps: 24
      global_batch_rows: 4
      micro_batch_rows: 4
      ranks: 1
      precision: fp32
      checkpoint_interval_steps: 6
      max_restarts: 5
      optimizer: { learning_rate: 1e-2 }
  - name: model
    export: { checkpoint: "\${steps.train.checkpoint}", tokenizer: "\${steps.learn.tokenizer}", data_type: fp32 }
PIPELINE
}
