#!/usr/bin/env bash
# The largest model that trains with a fixed amount of memory for each rank: layers of 1024 (12.9M parameters each) beside embedding and
# head of 32,000 ids (65.5M), one row of 512 tokens a rank, bf16. Two ranks of one thread for each strategy.
# usage, as root: largest-model.sh [BYTES, e.g. 4G] [COMMAND that runs the peer's script in the same limit; {} is the number of layers]
set -uo pipefail
limit=${1:-4G} peer=${2:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$here/../artifacts/bin/Drover.Benchmarks/release/Drover.Benchmarks
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 TERM=dumb
shape="hidden=1024 inner=2816 heads=16 vocab=32000 length=512 steps=3 weights=constant"

trains() { # ranks layers key=value...
  local ranks=$1 layers=$2
  shift 2
  mpirun -n "$ranks" --bind-to none --oversubscribe --mca mpi_yield_when_idle 1 --mca btl_vader_single_copy_mechanism none \
    "$here/limited.sh" "$limit" "$program" $shape layers="$layers" threads=1 "$@" >/tmp/largest.log 2>&1
}

# The largest number of layers for which `command LAYERS` succeeds, looked for one by one from where memory formulas say it is.
search() { # start-layers command...
  local at=$1
  shift
  if "$@" "$at"; then
    while "$@" $((at + 1)); do at=$((at + 1)); done
  else
    while at=$((at - 1)) && [ "$at" -gt 0 ] && ! "$@" "$at"; do :; done
  fi
  echo "$at"
}

report() { echo "| $1 | $2 | $(awk "BEGIN { printf \"%.0f\", 65.5 + $2 * 12.85 }") |"; }

echo "| strategy | layers | parameters, millions |"
echo "|---|---|---|"
one() { trains 1 "$1" rows=1; }
ddp() { trains 2 "$1" rows=2; }
zero1() { trains 2 "$1" rows=2 placement=zero1; }
zero2() { trains 2 "$1" rows=2 placement=zero2; }
zero3() { trains 2 "$1" rows=2 placement=zero3; }
zero3r() { trains 2 "$1" rows=2 placement=zero3 recompute=full; }
tp() { trains 2 "$1" rows=1 tp=2; }
pp() { trains 2 "$1" rows=2 micro=1 pp=2; }
report "one rank" "$(search 9 one)"
report "DDP, 2 ranks" "$(search 9 ddp)"
report "ZeRO-1, 2 ranks" "$(search 15 zero1)"
report "ZeRO-2, 2 ranks" "$(search 18 zero2)"
report "ZeRO-3, 2 ranks" "$(search 20 zero3)"
report "ZeRO-3 with recompute, 2 ranks" "$(search 20 zero3r)"
report "tensor parallel 2" "$(search 20 tp)"
report "pipeline 2" "$(search 20 pp)"
if [ -n "$peer" ]; then
  theirs() { "$here/limited.sh" "$limit" bash -c "${peer//\{\}/$1}" >/tmp/largest.log 2>&1; }
  report "the peer, one process" "$(search 28 theirs)"
fi
