#!/usr/bin/env bash
# `drover pull` of a model, onto the disk, beside dd writing as much (conv=fsync), three times in turn. The first pull also waits for the digests
# that the service makes when it is first asked for a model. Wants a release build of the command line and of all services in one process, and
# what `benchmarks/checkpoints.sh` leaves with KEEP=1.
#   benchmarks/pull.sh FOLDER [MODEL=models/bench-fp32]       FOLDER as of checkpoints.sh
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?the folder of checkpoints.sh} model=${2:-models/bench-fp32} port=28500
export XDG_CONFIG_HOME=$folder/config DROVER_GATEWAY=http://127.0.0.1:$port
drover=artifacts/bin/Drover.Cli/release/drover
service=http://127.0.0.1:2850
artifacts/bin/Drover.AllInOne/release/Drover.AllInOne --Drover:DataFolder="$folder/bench/data" --Services:gateway=${service}0 --Services:tokenizer=${service}1 --Services:dataprep=${service}2 --Services:trainer=${service}3 --Services:checkpoint=${service}4 --Gateway:HttpAddress= --Checkpoint:HubAddress= >"$folder/up.log" 2>&1 &
all=$!
trap 'kill -9 $all 2>/dev/null; rm -rf "$folder/out" "$folder/dd" "$folder/config"' EXIT
for _ in $(seq 120); do $drover status >/dev/null 2>&1 && break; sleep 0.5; done
for _ in 1 2 3; do
  rm -rf "$folder/out"; sync
  /usr/bin/time -f "pull: %e s, processor %U + %S s, %M KB" "$drover" pull "$model" "$folder/out" 2>&1 | tail -1
  sync
  dd if=/dev/zero of="$folder/dd" bs=1M count=$(du -sm "$folder/out" | cut -f1) conv=fsync 2>&1 | tail -1
  rm "$folder/dd"
done
