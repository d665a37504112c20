#!/bin/bash
# Saving, publishing, loading, exporting and pulling a checkpoint beside the disk's own speed (dd) and, where DROVER_REFERENCE_CHROOT names a
# folder with Python, beside the safetensors package; all in one run, on one disk.
#   benchmarks/checkpoints.sh FOLDER [PARAMETERS]     (default 540 million: 6.5 GB of state, 1.1 GB in bf16)
# STAGES chooses some of: save publish load reload export export32 pull hub; KEEP=1 leaves what was made, for benchmarks/pull.sh
set -euo pipefail
cd "$(dirname "$0")/.."
FOLDER=${1:?a folder on the disk to be measured}
PARAMETERS=${2:-540000000}
BENCH=artifacts/bin/Drover.Benchmarks.Checkpoints/release/Drover.Benchmarks.Checkpoints
GB=$((PARAMETERS * 12 / 1000000000))
rm -rf "$FOLDER/bench"; mkdir -p "$FOLDER/bench"
uncache() { sync; echo 3 > /proc/sys/vm/drop_caches 2>/dev/null || true; }

echo "dd write (conv=fsync): $(dd if=/dev/zero of="$FOLDER/bench/dd" bs=4M count=$((GB * 250)) conv=fsync 2>&1 | tail -1)"
rm "$FOLDER/bench/dd"
# Where the disk is a virtual one, its host caches what was read once: all stages, and dd, read what has been.
prime() { find "$FOLDER/bench/data/objects" -size +1M -type f -exec cat {} + > /dev/null 2>&1 || true; uncache; }
for stage in ${STAGES:-save publish load reload export pull hub}; do
  prime
  if [ $stage = publish ]; then
    echo "dd read: $(dd if="$(ls "$FOLDER"/bench/data/objects/runs/bench/checkpoints/*/shard-00000.safetensors)" of=/dev/null bs=4M 2>&1 | tail -1)"
    prime
  fi
  "$BENCH" $stage "$FOLDER/bench/data" "$PARAMETERS" | grep "^$stage"
done

if [ -n "${DROVER_REFERENCE_CHROOT:-}" ]; then
  WORK="$DROVER_REFERENCE_CHROOT/tmp/drover-bench"
  rm -rf "$WORK"; mkdir -p "$WORK"
  cat > "$WORK/bench.py" <<'PY'
import sys, time, resource, torch
from safetensors.torch import save_file
from safetensors import safe_open
mode, size, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
import os
start = time.time()
if mode == "save":
    tensors = {f"t{i}": torch.randn(11534336 // 4) for i in range(4 * size // 46137344)}
    start = time.time()
    save_file(tensors, path)
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
else:
    with safe_open(path, "pt") as f:
        for key in f.keys():
            f.get_tensor(key).sum()
seconds = time.time() - start
print(f"safetensors {mode}: {os.path.getsize(path)/1e9:.2f} GB in {seconds:.2f} s, {os.path.getsize(path)/1e9/seconds:.2f} GB/s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e3:.0f} MB")
PY
  uncache
  chroot "$DROVER_REFERENCE_CHROOT" python3 /tmp/drover-bench/bench.py save $((PARAMETERS * 4)) /tmp/drover-bench/x.safetensors
  cat "$WORK/x.safetensors" > /dev/null
  uncache
  chroot "$DROVER_REFERENCE_CHROOT" python3 /tmp/drover-bench/bench.py load 0 /tmp/drover-bench/x.safetensors
  rm -rf "$WORK"
fi

[ -n "${KEEP:-}" ] || rm -rf "$FOLDER/bench"
