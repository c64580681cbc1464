"""Times hyvideo and its peers in turns, ours, theirs, ours, theirs, and prints ratios: above one we are faster.

    python compare.py                              # every row
    python compare.py double-block attention       # rows whose name contains a word
    python compare.py --rounds 5 --json linear

Each turn is a process of its own with one warm-up. Ratios are those of medians over the rounds, by the wall clock and by processor
time; the second holds also on a machine that does other work. One row is the whole demo video, from process start to mp4.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROMPT = "A red ball moves from left to right on a black background."


def row(name, kind, ours, peers, **shape):
    return {"name": name, "kind": kind, "ours": ours, "peers": peers, "shape": shape}


ROWS = [
    row("linear 3072 to 12288", "linear", "bf16", ("f32", "bf16"), tokens=2304),
    row("linear 3072 to 3072", "linear", "bf16", ("f32", "bf16"), tokens=2304, outputs=3072),
    row("linear 12288 to 3072", "linear", "bf16", ("f32", "bf16"), tokens=2304, width=12288, outputs=3072),
    row("attention 2048", "attention", None, ("f32", "bf16"), tokens=2048, text_tokens=0),
    row("attention 4096", "attention", None, ("f32", "bf16"), tokens=4096, text_tokens=0),
    row("attention 8192", "attention", None, ("f32", "bf16"), tokens=8192, text_tokens=0),
    row("double-block 2048", "double-block", "bf16", ("f32", "bf16"), tokens=2048, text_tokens=256),
    row("single-block 2048", "single-block", "bf16", ("f32", "bf16"), tokens=2048, text_tokens=256),
    row("double-block 8192", "double-block", "bf16", ("f32", "bf16"), tokens=8192, text_tokens=256),
    row("single-block 8192", "single-block", "bf16", ("f32", "bf16"), tokens=8192, text_tokens=256),
    row("vae 17x128", "vae", "f16", ("f32",), frames=17, size=128),
    row("vae 65x256", "vae", "f16", ("f32",), frames=65, size=256),
    row("text-encoder layer", "text-encoder", "f16", ("f32", "bf16"), tokens=351),
]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only rows whose name contains one of these")
    parser.add_argument("--hyvideo", type=Path, default=ROOT / ".build" / "release" / "hyvideo")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1, help="timed runs of each turn")
    parser.add_argument("--json", action="store_true", help="one JSON object per row instead of a table")
    return parser.parse_args()


def measured(command):
    """The last line of a command's output as JSON."""
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def flags(options, shape, dtype):
    result = ["--threads", str(options.threads), "--runs", str(options.runs)]
    for name, value in shape.items():
        result += ["--" + name.replace("_", "-"), str(value)]
    return result + (["--dtype", dtype] if dtype else [])


def medians(turns):
    keys = ("seconds_median", "processor_seconds_median", "peak_rss_bytes", "share_of_peak", "share_of_peak_processor")
    return {key: statistics.median(turn[key] for turn in turns) for key in keys if key in turns[0]}


def summary(name, turns):
    """Ratios of peers' medians to ours."""
    ours = medians(turns.pop("ours"))
    result = {"name": name, "ours": ours, "peers": {}}
    for peer, values in turns.items():
        theirs = medians(values)
        result["peers"][peer] = theirs | {
            "ratio": theirs["seconds_median"] / ours["seconds_median"],
            "ratio_processor": theirs["processor_seconds_median"] / ours["processor_seconds_median"],
            "ratio_memory": theirs["peak_rss_bytes"] / ours["peak_rss_bytes"]}
    return result


def compare(options, entry):
    turns = {"ours": []} | {peer: [] for peer in entry["peers"]}
    for _ in range(options.rounds):
        turns["ours"].append(measured(
            [options.hyvideo, "bench", entry["kind"], "--json", *flags(options, entry["shape"], entry["ours"])]))
        for peer in entry["peers"]:
            turns[peer].append(measured(
                [sys.executable, HERE / "kinds.py", entry["kind"], *flags(options, entry["shape"], peer)]))
    return summary(entry["name"], turns)


def timed(command):
    """Wall time, processor time and largest resident size of a whole command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed")
    seconds = time.perf_counter() - start
    return {"seconds_median": seconds, "processor_seconds_median": usage.ru_utime + usage.ru_stime,
            "peak_rss_bytes": usage.ru_maxrss * 1024}


def demo(options):
    turns = {"ours": [], "f32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            turns["ours"].append(timed(
                [options.hyvideo, "generate", "--prompt", PROMPT, "--seed", "42", "--threads", str(options.threads),
                 "--output", f"{folder}/ours.mp4"]))
            for peer, dtype in (("f32", "float32"), ("bf16", "bfloat16")):
                turns[peer].append(timed(
                    [sys.executable, HERE / "demo_pipeline.py", "--dtype", dtype, "--threads", str(options.threads),
                     "--output", f"{folder}/theirs.mp4"]))
    return summary("demo, cold process", turns)


def show(result):
    ours = result["ours"]
    share = "" if "share_of_peak" not in ours else (
        f", {100 * ours['share_of_peak']:.0f} % of peak ({100 * ours['share_of_peak_processor']:.0f} % by processor time)")
    print(f"{result['name']}: {ours['seconds_median']:.3g} s{share}, {ours['peak_rss_bytes'] / 1e9:.2f} GB")
    for peer, theirs in result["peers"].items():
        print(f"  to {peer}: {theirs['ratio']:.2f} times as fast ({theirs['ratio_processor']:.2f} by processor time), "
              f"{1 / theirs['ratio_memory']:.2f} of its memory")
    sys.stdout.flush()


def main():
    options = parse()

    def wanted(name):
        return not options.words or any(word in name for word in options.words)

    jobs = [(entry["name"], lambda entry=entry: compare(options, entry)) for entry in ROWS]
    for name, job in [*jobs, ("demo, cold process", lambda: demo(options))]:
        if wanted(name):
            result = job()
            print(json.dumps(result), flush=True) if options.json else show(result)


if __name__ == "__main__":
    main()
