#!/bin/sh
# Trains the demo model from seeds and writes the checkpoint and its goldens: train.sh [WORK]
# A stopped run continues where it was: every stage keeps its state in WORK.
# SMOKE=1 runs every stage for a few steps, on small batches, and writes to WORK/out and WORK/goldens instead (about a minute).
set -eu
here=$(dirname "$0") work=${1:-$(dirname "$0")/work}
mkdir -p "$work"
work=$(cd "$work" && pwd)
cd "$here"
python=${PYTHON:-python3} threads="--threads ${THREADS:-2}"
out=../../Models/demo goldens=../../Tests/Goldens/demo

# Freed memory stays with the process: the convolutions' large blocks would otherwise be mapped and cleared anew every time.
export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000

# steps of the stages, and what a smoke run changes
text=300 decoder=1000 encoder=1200 transformer=2600 vae_flags= dit_flags=
if [ -n "${SMOKE:-}" ]; then
  text=2 decoder=2 encoder=2 transformer=2 out=$work/out goldens=$work/goldens
  vae_flags="--batch 1 --judged 2" dit_flags="--batch 2 --captions 1"
  mkdir -p "$out"
fi

# The tokenizers stay those of the checkpoint (train_tokenizers.py says how they were made).
for name in text_encoder text_encoder_2; do
  [ -d "$work/$name" ] || { mkdir "$work/$name"; cp ../../Models/demo/$name/* "$work/$name"; rm "$work/$name/model.safetensors"; }
done
[ -f "$work/text_facts.json" ] || "$python" train_text_encoders.py --work "$work" $threads --steps $text
"$python" train_decoder.py --work "$work" $threads --steps $decoder --lr 4e-4 $vae_flags
"$python" train_encoder.py --work "$work" $threads --steps $encoder $vae_flags
"$python" train_dit.py --work "$work" $threads --bf16 --steps $transformer --decay 0.52 $dit_flags
"$python" export.py $threads --work "$work" --out "$out" --goldens "$goldens"
