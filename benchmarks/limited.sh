#!/usr/bin/env bash
# Runs a command with a limit of memory, in a control group of its own (of either version). usage, as root: limited.sh BYTES COMMAND...
set -euo pipefail
limit=$1
shift
root=/sys/fs/cgroup/memory
[ -d "$root" ] || root=/sys/fs/cgroup
group=$root/drover-${OMPI_COMM_WORLD_RANK:-alone}
mkdir -p "$group"
for file in memory.limit_in_bytes memory.max; do [ ! -e "$group/$file" ] || echo "$limit" >"$group/$file"; done
echo $$ >"$group/cgroup.procs"
exec "$@"
