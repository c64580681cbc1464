"""Writes the goldens; with --check compares a fresh set with the stored one, byte by byte."""

import argparse
import filecmp
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from common import GOLDENS

PARTS = (
    "transformer", "vae", "llama", "clip", "random", "scheduler", "tokenizers", "pipeline", "formats", "layouts",
    "blocks", "settings", "small_blocks")


def write(parts, out):
    for part in parts:
        __import__(f"make_{part}").generate(out)


def differences(parts, fresh, stored):
    for part in parts:
        names = {p.relative_to(folder) for folder in (fresh, stored) for p in (folder / part).rglob("*") if p.is_file()}
        for name in sorted(names):
            if not (fresh / name).exists():
                yield f"{name}: stored, but no longer generated"
            elif not (stored / name).exists():
                yield f"{name}: generated, but not stored"
            elif not filecmp.cmp(fresh / name, stored / name, shallow=False):
                yield f"{name}: differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all when none is given")
    parser.add_argument("--out", type=Path, default=GOLDENS, help="folder of the goldens (Tests/Goldens)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a stored file would change")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)  # sums in one order, whatever the number of cores
    torch.use_deterministic_algorithms(True)
    if not arguments.check:
        write(parts, arguments.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(parts, Path(folder))
        found = list(differences(parts, Path(folder), arguments.out))
    print("\n".join(found) or "every file is equal byte by byte")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
