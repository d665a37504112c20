#!/bin/bash
# Resizing a model of some gigabytes to an expanded tokenizer, beside the disk's own speed: dd copies the same bytes in the same run.
#   benchmarks/resize.sh FOLDER TOKENIZER.MODEL DONOR.MODEL [GIGABYTES]
set -euo pipefail
cd "$(dirname "$0")/.."
FOLDER=${1:?a folder on the disk to be measured}/bench BASE=$2 DONOR=$3
BENCH=artifacts/bin/Drover.Benchmarks.Tokenizers/release/Drover.Benchmarks.Tokenizers
rm -rf "$FOLDER"; mkdir -p "$FOLDER"
uncache() { sync; echo 3 > /proc/sys/vm/drop_caches 2>/dev/null || true; }

"$BENCH" --make-model "$FOLDER" "$BASE" "${4:-4}"
for cache in cold warm; do
  [ $cache = warm ] || uncache
  start=$(date +%s%N)
  for shard in "$FOLDER"/objects/models/base/*.safetensors; do dd if="$shard" of="$FOLDER/copy" bs=4M conv=fsync status=none; done
  echo "dd, $cache: $(du -bc "$FOLDER"/objects/models/base/*.safetensors | tail -1 | cut -f1) bytes in $((($(date +%s%N) - start) / 1000000)) ms"
  rm "$FOLDER/copy"
  [ $cache = warm ] || uncache
  echo "$cache: $("$BENCH" --resize "$FOLDER" "$DONOR")"
  rm -rf "$FOLDER"/objects/models/wide "$FOLDER"/objects/tokenizers/wide "$FOLDER"/jobs
done
rm -rf "$FOLDER"
