#!/usr/bin/env bash
# Clients of one gateway at the same time, over five services as processes: they submit, watch, list and pull.
#
#   benchmarks/gateway-load.sh [CLIENTS=200] [SECONDS=300]     wants a release build of the services, the worker, the command line and
#                                                              benchmarks/Drover.Benchmarks.Gateway
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/benchmarks/five-services.sh"

head -50 "$work/corpus.jsonl" >"$work/few.jsonl"
# A small model to be pulled.
write_pipeline made
drover run "$work/pipeline.yaml" >"$work/run.log" 2>&1 || { cat "$work/run.log" >&2; exit 1; }
before=$(ps -o cputimes= -p "${pid[gateway]}")
"$bin/Drover.Benchmarks.Gateway/release/Drover.Benchmarks.Gateway" "${1:-200}" "${2:-300}" "$work/few.jsonl" models/made-model "${pid[gateway]}"
echo "gateway's processor time: $(($(ps -o cputimes= -p "${pid[gateway]}") - before)) s; memory of the services at the end, MB: $(for name in "${!pid[@]}"; do printf '%s %s  ' "$name" "$(($(ps -o rss= -p "${pid[$name]}") / 1000))"; done)"
