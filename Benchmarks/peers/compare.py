"""Times hyvideo and its peers in turns, ours, theirs, ours, theirs, and prints a table of ratios: above one we are faster.

    python compare.py                              # every row
    python compare.py double-block attention       # rows whose name contains a word
    python compare.py --instructions avx2          # both sides without AVX-512 and bf16 instructions
    python compare.py --rounds 5 --json linear

Each turn is a process of its own with one warm-up (rows of minutes have none and fewer rounds). Ratios are those of medians over the
rounds, by the wall clock and by processor time (in brackets); the second holds also on a machine that does other work. Two rows are whole
commands: the demo video, from process start to mp4, and `--version`.
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
# What makes both sides use AVX2 alone: oneDNN and Swift's own code here; PyTorch's kernels, its oneDNN and MKL there.
INSTRUCTIONS = {
    "native": {},
    "avx2": {
        "DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}


def row(name, kind, ours, peers, most_rounds=None, warm_up=True, precision=None, **shape):
    return {"name": name, "kind": kind, "ours": ours, "peers": peers, "most_rounds": most_rounds, "warm_up": warm_up,
            "precision": precision, "shape": shape}


# PyTorch with weights and activations of one type; ggml with 16-bit weights, keys and values and float32 activations.
BOTH = ("f32", "bf16")
ALL = (*BOTH, "ggml")
GGML_TYPES = {"linear": "bf16", "attention": "f16"}
ROWS = [
    row("linear 3072 to 12288", "linear", "bf16", ALL, tokens=2304),
    row("linear 3072 to 3072", "linear", "bf16", ALL, tokens=2304, outputs=3072),
    row("linear 12288 to 3072", "linear", "bf16", ALL, tokens=2304, width=12288, outputs=3072),
    row("attention 2048", "attention", None, ALL, tokens=2048, text_tokens=0),
    row("attention 4096", "attention", None, ALL, tokens=4096, text_tokens=0),
    row("attention 8192", "attention", None, ALL, tokens=8192, text_tokens=0, most_rounds=2),
    row("double-block 2048", "double-block", "bf16", BOTH, tokens=2048, text_tokens=256),
    row("single-block 2048", "single-block", "bf16", BOTH, tokens=2048, text_tokens=256),
    row("double-block 8192", "double-block", "bf16", BOTH, tokens=8192, text_tokens=256, most_rounds=1, warm_up=False),
    row("single-block 8192", "single-block", "bf16", BOTH, tokens=8192, text_tokens=256, most_rounds=1, warm_up=False),
    row("vae 17x128", "vae", "f16", ("f32",), frames=17, size=128, most_rounds=2),
    row("vae 65x256", "vae", "f16", ("f32",), frames=65, size=256, most_rounds=1, warm_up=False),
    row("text-encoder layer", "text-encoder", "f16", BOTH, tokens=351),
    # Approximations, for processors with instructions for bfloat16 and 8-bit integers.
    row("double-block 2048, --precision bf16", "double-block", "bf16", BOTH, precision="bf16", tokens=2048, text_tokens=256),
    row("single-block 2048, --precision bf16", "single-block", "bf16", BOTH, precision="bf16", tokens=2048, text_tokens=256),
    row("double-block 2048, --precision int8", "double-block", "int8", BOTH, precision="int8", tokens=2048, text_tokens=256),
    row("single-block 2048, --precision int8", "single-block", "int8", BOTH, precision="int8", tokens=2048, text_tokens=256),
]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only rows whose name contains one of these")
    parser.add_argument("--hyvideo", type=Path, default=ROOT / ".build" / "release" / "hyvideo")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1, help="timed runs of each turn")
    parser.add_argument("--instructions", choices=INSTRUCTIONS, default="native", help="what both sides may use")
    parser.add_argument("--peers", nargs="*", choices=ALL, default=ALL, help="which peers, where a row has them")
    parser.add_argument("--ours", action="store_true", help="without any peer")
    parser.add_argument("--json", action="store_true", help="one JSON object per row instead of a table")
    return parser.parse_args()


def measured(options, command):
    """The last line of a command's output as JSON."""
    environment = os.environ | INSTRUCTIONS[options.instructions]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


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
            "ratio_memory": ours["peak_rss_bytes"] / theirs["peak_rss_bytes"]}
    return result


def chosen(options, peers):
    return () if options.ours else tuple(peer for peer in peers if peer in options.peers)


def theirs(options, entry, peer):
    """The command that does a row's work with a peer."""
    if peer == "ggml":
        return [sys.executable, HERE / "ggml_kinds.py", entry["kind"],
                *flags(options, entry["shape"], GGML_TYPES[entry["kind"]])]
    return [sys.executable, HERE / "kinds.py", entry["kind"], *flags(options, entry["shape"], peer),
            *([] if entry["warm_up"] else ["--no-warm-up"])]


def compare(options, entry):
    peers = chosen(options, entry["peers"])
    turns = {"ours": []} | {peer: [] for peer in peers}
    for _ in range(min(options.rounds, entry["most_rounds"] or options.rounds)):
        turns["ours"].append(measured(options, [
            options.hyvideo, "bench", entry["kind"], "--json", *flags(options, entry["shape"], entry["ours"]),
            *(["--precision", entry["precision"]] if entry["precision"] else []),
            *([] if entry["warm_up"] else ["--no-warm-up"])]))
        for peer in peers:
            turns[peer].append(measured(options, theirs(options, entry, peer)))
    return summary(entry["name"], turns)


def timed(options, command):
    """Wall time, processor time and largest resident size of a whole command."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | INSTRUCTIONS[options.instructions])
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed")
    seconds = time.perf_counter() - start
    return {"seconds_median": seconds, "processor_seconds_median": usage.ru_utime + usage.ru_stime,
            "peak_rss_bytes": usage.ru_maxrss * 1024}


def demo(options):
    peers = chosen(options, BOTH)
    turns = {"ours": []} | {peer: [] for peer in peers}
    names = {"f32": "float32", "bf16": "bfloat16"}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            turns["ours"].append(timed(options, [
                options.hyvideo, "generate", "--prompt", PROMPT, "--seed", "42", "--threads", str(options.threads),
                "--output", f"{folder}/ours.mp4"]))
            for peer in peers:
                turns[peer].append(timed(options, [
                    sys.executable, HERE / "demo_pipeline.py", "--dtype", names[peer], "--threads", str(options.threads),
                    "--output", f"{folder}/theirs.mp4"]))
    return summary("demo, cold process", turns)


def version(options):
    return summary("--version", {"ours": [timed(options, [options.hyvideo, "--version"]) for _ in range(11)]})


HEADER = ["row", "seconds", "share of peak", "memory", *(text for peer in ALL for text in (f"to {peer}", "of its memory"))]


def cells(result):
    """A row of the table."""
    ours = result["ours"]
    share = "" if "share_of_peak" not in ours else (
        f"{ours['share_of_peak']:.2f} ({ours['share_of_peak_processor']:.2f})")
    line = [result["name"], f"{ours['seconds_median']:.3g}", share, f"{ours['peak_rss_bytes'] / 1e9:.2f} GB"]
    for peer in ALL:
        theirs = result["peers"].get(peer)
        line += ["", ""] if theirs is None else [
            f"{theirs['ratio']:.2f} ({theirs['ratio_processor']:.2f})", f"{theirs['ratio_memory']:.2f}"]
    return line


def main():
    options = parse()

    def wanted(name):
        return not options.words or any(word in name for word in options.words)

    # Without their instructions approximations are refused.
    rows = [entry for entry in ROWS if not entry["precision"] or options.instructions == "native"]
    jobs = [(entry["name"], lambda entry=entry: compare(options, entry)) for entry in rows]
    jobs += [("demo, cold process", lambda: demo(options)), ("--version", lambda: version(options))]
    if not options.json:
        print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|", flush=True)
    for name, job in jobs:
        if wanted(name):
            result = job()
            print(json.dumps(result) if options.json else "| " + " | ".join(cells(result)) + " |", flush=True)


if __name__ == "__main__":
    main()
