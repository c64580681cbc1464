"""Checks that two ranks of one thread are about as fast as one rank of two threads.

Four measurements on blocks of the published width: double-stream and single-stream, exchanging heads (Ulysses) and passing keys
and values round (ring). `hyvideo bench` takes turns between all ranks and one rank, so that both meet the same machine. Ends with
status 1 where one of them is below the bound. It is no part of the tests: beside other work the figures mean nothing.

    python3 Benchmarks/ranks/speed.py [--tokens 4096] [--runs 3] [--bound 0.93]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hyvideo", type=Path, default=ROOT / ".build" / "release" / "hyvideo")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=4096, help="video tokens")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each measurement; the median counts")
    parser.add_argument("--bound", type=float, default=0.93, help="the least share of one rank's speed")
    return parser.parse_args()


def measured(options, kind, degree):
    """What `hyvideo bench` says of a kind of block on all ranks."""
    command = ["mpirun", "--bind-to", "none", "-n", str(options.ranks)]
    if os.geteuid() == 0:
        command.append("--allow-run-as-root")
    command += [options.hyvideo, "bench", kind, "--tokens", str(options.tokens), "--threads", "1", "--json"]
    command += ["--runs", str(options.runs), f"--{degree}-degree", str(options.ranks)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    options = parse()
    cores = len(os.sched_getaffinity(0))
    if cores < options.ranks:
        sys.exit(f"error: too few cores: expected {options.ranks}, found {cores}")
    slow = False
    print(f"{'block':<14}{'layout':<10}{'one rank':>10}{'ranks':>10}{'speed':>8}{'not hidden':>12}")
    for kind in ("double-block", "single-block"):
        for degree in ("ulysses", "ring"):
            result = measured(options, kind, degree)
            ranks = result["ranks"]
            speed = ranks["speed_to_one_rank"]
            slow = slow or not speed >= options.bound
            print(
                f"{kind:<14}{degree:<10}{ranks['one_rank_seconds_median']:>8.2f} s{result['seconds_median']:>8.2f} s"
                f"{100 * speed:>7.1f}%{ranks['exposed_seconds']:>10.3f} s",
                flush=True,
            )
    if slow:
        sys.exit(f"error: ranks are slow: expected at least {options.bound:g} of one rank's speed on an idle machine")


if __name__ == "__main__":
    main()
