#!/usr/bin/env bash
# A video on several hosts. Usage: Examples/multi.sh [HOSTFILE] [FLAGS OF hyvideo generate]
# hyvideo, the checkpoint and Open MPI must be on all hosts, at the same paths. Heads are exchanged within a host, keys and
# values between hosts: the layout is chosen so from the hosts, and printed.
set -euo pipefail
cd "$(dirname "$0")/.."

hostfile=${1:-Examples/hostfile}
options=(--hostfile "$hostfile" --bind-to none)
[[ $(id -u) -eq 0 ]] && options+=(--allow-run-as-root)
# -q: a failure is explained by hyvideo in one line, mpirun has nothing to add.
exec mpirun -q "${options[@]}" "${HYVIDEO:-$PWD/.build/release/hyvideo}" generate \
  --prompt "A red ball moves from left to right on a black background." --seed 42 \
  --output "$PWD/results/multi.mp4" --report "$PWD/results/multi.json" "${@:2}"
