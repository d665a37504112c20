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
export DROVER_Drover__DataFolder=$data OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# Six free ports in a row, away from the defaults, so that the demo runs beside a real Drover.
free() { ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=17500
until free $port && free $((port + 1)) && free $((port + 2)) && free $((port + 3)) && free $((port + 4)) && free $((port + 80)); do port=$((port + 100)); done
names=(gateway tokenizer dataprep trainer checkpoint)
for i in 0 1 2 3 4; do export "DROVER_Services__${names[$i]}=http://127.0.0.1:$((port + i))"; done
export DROVER_Gateway__HttpAddress=http://127.0.0.1:$((port + 80)) DROVER_GATEWAY=http://127.0.0.1:$port

pids=()
stop() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
}
trap stop EXIT
start() { "$bin/$1/release/$1" >"$data/$1.log" 2>&1 & pids+=($!); }
if [ -n "$separate" ]; then
  echo "==> five services, a process each (logs: $data)"
  for project in Drover.Tokenizer Drover.DataPrep Drover.Trainer Drover.Checkpoint Drover.Gateway; do start $project; done
else
  echo "==> all services in one process (log: $data/Drover.AllInOne.log)"
  start Drover.AllInOne
fi

drover() { "$bin/Drover.Cli/release/drover" "$@"; }
for try in $(seq 1 120); do
  drover status >"$data/status.log" 2>&1 && break
  for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || { cat "$data"/*.log >&2; exit 1; }; done
  [ "$try" != 120 ] || { cat "$data/status.log" >&2; exit 1; }
  sleep 0.5
done

drover run "$root/samples/demo.yaml"
echo
drover pull demo-model "$model"

echo
drover jobs list
prompt='春天，老王带着'
echo "prompt:        $prompt"
echo "continuation:  $(drover train generate demo-model "$prompt" --max-new-tokens 60)"
echo "model folder:  $model"
ls -l "$model"
