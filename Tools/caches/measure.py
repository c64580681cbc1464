"""Measures every cache rule on the demo checkpoint: speed, distance to the full run and whether the prompt is still met.

    python measure.py --program ../../.build/release/hyvideo --work FOLDER --count 24 --steps 50 > table.md

Each video is made with the rule and again without it in one process (`--measure-fidelity`), so both times see the same load.
Steps of one kind are timed by their median.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EVALUATE = ROOT / "Tools" / "demo-model" / "evaluate.py"

RULES = {
    "teacache 0.1": ["teacache", "rel_l1_thresh=0.1"],
    "teacache 0.15": ["teacache", "rel_l1_thresh=0.15"],
    "teacache-ascend 0.15": ["teacache-ascend", "rel_l1_thresh=0.15"],
    "fbcache 0.05": ["fbcache", "rel_l1_thresh=0.05"],
    "fbcache 0.1": ["fbcache", "rel_l1_thresh=0.1"],
    "taylorseer, modules, order 3, 1 of 4": ["taylorseer"],
    "taylorseer, velocity, order 3, 1 of 4": ["taylorseer", "scope=velocity"],
    "taylorseer, velocity, order 3, 1 of 3": ["taylorseer", "scope=velocity", "skip_interval_steps=3"],
    "taylorseer, velocity, order 1, 1 of 5": ["taylorseer", "scope=velocity", "n_derivatives=1", "skip_interval_steps=5"],
    "easycache 0.025": ["easycache", "thresh=0.025"],
    "easycache 0.05": ["easycache", "thresh=0.05"],
    "magcache 0.12, K 4": ["magcache", "thresh=0.12", "K=4"],
    "magcache 0.24, K 6": ["magcache", "thresh=0.24", "K=6"],
}


def generate(options, entry, folder, flags):
    report = folder / f"{entry['seed']}.json"
    if not report.exists():
        subprocess.run(
            [options.program, "generate", "--prompt", entry["prompt"], "--seed", str(entry["seed"]), "--infer-steps",
             str(options.steps), "--threads", str(options.threads), "--output", folder / f"{entry['seed']}.mp4",
             "--save-frames", folder / f"{entry['seed']}.safetensors", "--report", report, *flags],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads(report.read_text())


def accuracy(options, folder):
    result = subprocess.run(
        [sys.executable, EVALUATE, "--measure", folder, "--count", str(options.count)], check=True, capture_output=True,
        text=True)
    return json.loads(result.stdout)["accuracy"]


def row(name, cells):
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def measure(options, name, rule, entries):
    folder = options.work / name.replace(" ", "_").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    flags = []
    if rule:
        flags = ["--cache", rule[0], "--measure-fidelity"]
        for option in rule[1:]:
            flags += ["--cache-option", option]
        if rule[0] == "magcache" and options.ratios:
            flags += ["--cache-option", f"mag_ratios={options.ratios}"]
    reports = [generate(options, entry, folder, flags) for entry in entries]
    match = accuracy(options, folder)
    matches = [f"{match[key]:.2f}" for key in ("colour", "shape", "motion")]
    if not rule:
        return row(name, [str(options.steps), "1.00", "1.00", "", "", *matches])
    measured = [report["fidelity"] for report in reports]
    middle = {key: statistics.median(m[key] for m in measured) for key in ("psnr_db", "ssim", "speedup")}
    computed = statistics.mean(m["steps_computed"] for m in measured)
    row(name, [f"{computed:.1f}", f"{options.steps / computed:.2f}", f"{middle['speedup']:.2f}",
               f"{middle['psnr_db']:.1f}", f"{middle['ssim']:.4f}", *matches])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / ".build" / "release" / "hyvideo")
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of the videos; what is there is not made again")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ratios", help="MagCache's ratios, where there is no calibration for the program to find")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    prompts = options.work / "prompts.json"
    subprocess.run([sys.executable, EVALUATE, "--write-prompts", prompts, "--count", str(options.count)], check=True)
    entries = json.loads(prompts.read_text())
    print("| rule | steps computed | of all | speed-up | PSNR dB | SSIM | colour | shape | motion |")
    print("|---|---|---|---|---|---|---|---|---|")
    measure(options, "none", None, entries)
    for name, rule in RULES.items():
        measure(options, name, rule, entries)


if __name__ == "__main__":
    main()
