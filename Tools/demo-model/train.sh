#!/bin/sh
# Trains the demo model from seeds and writes the checkpoint and its goldens: train.sh [WORK]
# A stopped run continues where it was: every stage keeps its state in WORK.
set -eu
cd "$(dirname "$0")"
work=${1:-work}
python=${PYTHON:-python3}
mkdir -p "$work"

# The tokenizers stay those of the checkpoint (train_tokenizers.py says how they were made).
for name in text_encoder text_encoder_2; do
  [ -d "$work/$name" ] || { mkdir "$work/$name"; cp ../../Models/demo/$name/* "$work/$name"; rm "$work/$name/model.safetensors"; }
done
[ -f "$work/text_facts.json" ] || "$python" train_text_encoders.py --work "$work"
"$python" train_vae.py decoder --work "$work" --steps 1000 --lr 4e-4
"$python" train_vae.py encoder --work "$work" --steps 1200 --lr 1e-3 --size 64 --batch 3
"$python" train_vae.py encoder --work "$work" --steps 2800 --lr 1e-3 --size 64 --batch 1 --length 17 --through
"$python" train_dit.py --work "$work" --bf16 --steps 2600 --decay 0.52
"$python" export.py --work "$work" --out ../../Models/demo --goldens ../../Tests/Goldens/demo
