#!/usr/bin/env bash
# A video on several ranks of this host. Usage: Examples/single.sh [RANKS] [FLAGS OF hyvideo generate]
# Without a --model the bundled demo checkpoint is used.
set -euo pipefail
cd "$(dirname "$0")/.."

ranks=${1:-2}
exec "${HYVIDEO:-.build/release/hyvideo}" generate --ranks "$ranks" \
  --prompt "A red ball moves from left to right on a black background." --seed 42 \
  --output results/single.mp4 --report results/single.json "${@:2}"
