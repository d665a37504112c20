#!/usr/bin/env bash
# The demo: starts the services on free ports and a data folder of its own, runs samples/demo.yaml, pulls the model.
# Called by ./drover demo, which has built everything.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/artifacts/bin
separate=
for argument in "$@"; do
  case $argument in
    --separate) separate=1 ;;
    *) echo "error: ./drover demo takes --separate and nothing else, not '$argument'" >&2; exit 2 ;;
  esac
done

data=$root/.drover/demo${separate:+-separate}
model=$data/pulled
rm -rf "$data"
mkdir -p "$data"
# The gateway of the demo puts its key there, and the command line finds it.
export XDG_CONFIG_HOME=$data/config
export DROVER_Drover__DataFolder=$data OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# Six free ports in a row, away from the defaults, so that the demo runs beside a real Drover.
free() { ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=17500
until free $port && free $((port + 1)) && free $((port + 2)) && free $((port + 3)) && free $((port + 4)) && free $((port + 80)); do port=$((port + 100)); done
names=(gateway tokenizer dataprep trainer checkpoint)
for i in 0 1 2 3 4; do export "DROVER_Services__${names[$i]}=http://127.0.0.1:$((port + i))"; done
export DROVER_Gateway__HttpAddress=http://127.0.0.1:$((port + 80)) DROVER_GATEWAY=http://127.0.0.1:$port

say() { printf '==> %s\n' "$*"; }
pids=()
stop() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
}
trap stop EXIT
start() { "$bin/$1/release/$1" >"$data/$1.log" 2>&1 & pids+=($!); }
if [ -n "$separate" ]; then
  say "five services, a process each; their logs: $data"
  for project in Drover.Tokenizer Drover.DataPrep Drover.Trainer Drover.Checkpoint Drover.Gateway; do start $project; done
else
  say "all services in one process; its log: $data/Drover.AllInOne.log"
  start Drover.AllInOne
fi

drover() { "$bin/Drover.Cli/release/drover" "$@"; }
for try in $(seq 1 120); do
  drover status >"$data/status.log" 2>&1 && break
  for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || { cat "$data"/*.log >&2; exit 1; }; done
  [ "$try" != 120 ] || { cat "$data/status.log" >&2; exit 1; }
  sleep 0.5
done

say "the pipeline of samples/demo.yaml: makes a small base model that knows English only, then teaches it Chinese"
begun=$SECONDS
drover run "$root/samples/demo.yaml"
say "fetching the model"
drover pull demo-model "$model"
say "letting the model go on from 春天，老王带着"
text=$(drover generate demo-model '春天，老王带着' --max-new-tokens 60)
took=$((SECONDS - begun))

# Outputs of the pipeline's steps; it is the only pipeline of this data folder.
pipeline=$(drover jobs show "$(drover jobs list --json | grep -oP '"name": "\K[^"]+')" --json)
output() {
  local value
  value=$(grep -oP "\"name\": \"$1\", [^}]*\"outputs\": {[^}]*\"$2\": \"\K[^\"]+" <<<"$pipeline") || { echo "error: step '$1' gave no '$2'" >&2; exit 1; }
  LC_ALL=C printf '%9.3f' "$value"
}
loss_before=$(output before loss)
loss_after=$(output after loss)
bits_before=$(output before bits_per_byte)
bits_after=$(output after bits_per_byte)
cat <<END

------------------------------------------------------------------------------
 Drover taught an English model Chinese, in $((took / 60)) min $((took % 60)) s.

 Loss on Chinese pages that no training saw      before      after
   nats per token                             $loss_before  $loss_after
   bits per byte                              $bits_before  $bits_after

 The new model goes on greedily from "春天，老王带着":
   $text

 The model, in Hugging Face format:
   $model
------------------------------------------------------------------------------
 Next, with your own text: see "Your own model and text" in README.md.
END
