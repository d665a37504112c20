#!/usr/bin/env bash
# Small pipelines, one after the other, over five services as processes; in each a service or a rank is killed (-9), or stopped for a few
# seconds, at a random moment. Every pipeline must end with the model that an undisturbed one makes. Kinds of faults take turns, in rounds of
# a random order: each comes as often as any other, but for the last round.
#
#   benchmarks/fault-campaign.sh [PIPELINES=100] [SEED=1]      wants a release build of the services, the worker and the command line
#
# Prints a line a pipeline and a summary; ends with 1 when a pipeline failed or made another model. DROVER_ObjectStore__* and
# DROVER_Discovery__* of the environment are used as they are: so it runs over S3 and Consul too. FAULT_S3 and FAULT_CONSUL name shell
# commands that restart those servers; such restarts are then among the faults. TIME_LIMIT: no pipeline begins after so many seconds.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
count=${1:-100} RANDOM=${2:-1}
. "$root/benchmarks/five-services.sh"

submit() {
  write_pipeline "$1"
  drover run "$work/pipeline.yaml" --detach
}
digest() { # of the weights, the config and the tokenizer: the card and the lineage name the run
  rm -rf "$work/pulled"
  for _ in 1 2 3 4 5 6 7 8 9 10; do drover pull "models/$1-model" "$work/pulled" >"$work/pull.log" 2>&1 && break; sleep 1; done
  (cd "$work/pulled" && find . -type f ! -name '.*' ! -name README.md ! -name drover.json | sort | xargs sha256sum | sha256sum | cut -c1-16)
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

faults=(kill:gateway kill:tokenizer kill:dataprep kill:trainer kill:checkpoint kill:rank
  stop:gateway stop:tokenizer stop:dataprep stop:trainer stop:checkpoint stop:rank)
[ -z "${FAULT_S3:-}" ] || faults+=(restart:s3)
[ -z "${FAULT_CONSUL:-}" ] || faults+=(restart:consul)
bad=0 ran=0 round=()
declare -A done_of bad_of slowest_of
for i in $(seq 1 "$count"); do
  [ $SECONDS -lt "${TIME_LIMIT:-1000000}" ] || break
  if [ ${#round[@]} = 0 ]; then
    for kind in "${faults[@]}"; do round+=("$RANDOM $kind"); done
    mapfile -t round < <(printf '%s\n' "${round[@]}" | sort -n | cut -d' ' -f2)
  fi
  fault=${round[0]} run=fault-$i round=("${round[@]:1}")
  job=$(submit $run)
  begun=$SECONDS
  target=${fault#*:} hit=yes
  [ $target = rank ] || sleep "$(awk -v r=$RANDOM -v l=$((length > 2 ? length : 2)) 'BEGIN { printf "%.2f", r / 32768 * l }')"
  case $target in
    rank) # ranks run for a second or two: one is waited for, and let live for a moment
      for _ in $(seq 1 300); do victim=$(rank); [ -z "$victim" ] || break; sleep 0.1; done
      sleep "$(awk -v r=$RANDOM 'BEGIN { printf "%.2f", r / 32768 * 1.5 }')"
      [ -n "$victim" ] || hit="no rank ran" ;;
    s3 | consul) victim= ;;
    *) victim=${pid[$target]} ;;
  esac
  case $fault in
    kill:rank) [ -z "$victim" ] || kill -9 "$victim" 2>/dev/null || hit="no rank ran" ;;
    kill:*) kill -9 "$victim"; sleep 0.5; start "$target" ;;
    stop:*) if [ -n "$victim" ]; then kill -STOP "$victim" 2>/dev/null || true; sleep 4; kill -CONT "$victim" 2>/dev/null || true; fi ;;
    restart:s3) bash -c "$FAULT_S3" >>"$work/servers.log" 2>&1 ;;
    restart:consul) bash -c "$FAULT_CONSUL" >>"$work/servers.log" 2>&1 ;;
  esac
  code=0
  watch_to_end "$job" || code=$?
  made=$([ $code = 0 ] && digest $run || echo none)
  took=$((SECONDS - begun)) ran=$((ran + 1))
  done_of[$fault]=$((${done_of[$fault]:-0} + 1))
  [ $took -le "${slowest_of[$fault]:-0}" ] || slowest_of[$fault]=$took
  if [ "$made" = "$expected" ]; then verdict=same; else verdict="DIFFERENT ($made): $(tail -1 "$work/watch.log")"; bad=$((bad + 1)); bad_of[$fault]=$((${bad_of[$fault]:-0} + 1)); fi
  echo "$i $fault hit=$hit $took s $verdict"
done
echo "$ran pipelines, $((ran - bad)) with the undisturbed model, $bad not; $SECONDS s"
for fault in "${!done_of[@]}"; do echo "  $fault: ${done_of[$fault]} pipelines, ${bad_of[$fault]:-0} bad, slowest ${slowest_of[$fault]:-0} s"; done | sort
[ $bad = 0 ]
