"""Plans and makes videos with 12 settings, and prints a table of what was planned beside what came of it.

    python3 Benchmarks/planning/measure.py .build/release/hyvideo > table.md
    python3 Benchmarks/planning/measure.py .build/release/hyvideo --settings 0 4 --stages

Needs nothing but Python. `--settings` takes some of them, `--stages` tells of every stage on standard error. Each setting is planned once so that its operations are timed, then made three times; the run with the
median time counts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

PROMPT = "A red ball moves from left to right on a black background."
TRANSFORMER = "Models/demo/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
SETTINGS = [
    ("64x64, 17 frames, 30 steps", ["--video-size", "64", "64"]),
    ("128x128, 17 frames", ["--video-size", "128", "128", "--infer-steps", "10"]),
    ("256x256, 17 frames", ["--video-size", "256", "256", "--infer-steps", "5"]),
    ("256x256, 33 frames", ["--video-size", "256", "256", "--video-length", "33", "--infer-steps", "4"]),
    ("320x320, 17 frames, tiles", ["--video-size", "320", "320", "--infer-steps", "4"]),
    ("320x320, 17 frames, whole", ["--video-size", "320", "320", "--infer-steps", "4", "--no-vae-tiling"]),
    ("64x64, 129 frames", ["--video-size", "64", "64", "--video-length", "129", "--infer-steps", "10"]),
    ("192x192, true guidance", ["--video-size", "192", "192", "--infer-steps", "5", "--cfg-scale", "4"]),
    ("192x192, bf16 weights", ["--video-size", "192", "192", "--infer-steps", "8", "--dit-weight", "BF16"]),
    ("192x192, fp8 weights, streamed",
     ["--video-size", "192", "192", "--infer-steps", "8", "--dit-weight", "FP8", "--use-cpu-offload"]),
    ("192x192, 17 frames, 2 ranks", ["--video-size", "192", "192", "--infer-steps", "8", "--ranks", "2"]),
    ("256x256, 33 frames, 2 ranks",
     ["--video-size", "256", "256", "--video-length", "33", "--infer-steps", "4", "--ranks", "2"]),
]


def run(program, arguments, environment):
    result = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{arguments}: {result.stderr}")
    return result.stdout


def tell_stages(stages):
    for stage in stages:
        print(f"    {stage['name']}: planned {stage['seconds']:.3f} s, took {stage['actual_seconds']:.3f} s; "
              f"planned {stage['host_peak_bytes'] / 1e6:.1f} MB, took {stage['actual_peak_bytes'] / 1e6:.1f} MB", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--settings", type=int, nargs=2, default=[0, len(SETTINGS)], metavar=("FIRST", "END"))
    parser.add_argument("--stages", action="store_true")
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    folder = tempfile.mkdtemp(prefix="hyvideo-planning-")
    environment = {**os.environ, "XDG_CACHE_HOME": folder, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    weights = {}
    for name in ("BF16", "FP8"):
        weights[name] = f"{folder}/{name}.safetensors"
        run(program, ["convert", TRANSFORMER, "--dtype", name.lower(), "--output", weights[name]], environment)
        shutil.copy(os.path.dirname(TRANSFORMER) + "/config.json", folder)
    print("| setting | memory planned | measured | off | time planned | measured | off |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for title, flags in SETTINGS[slice(*arguments.settings)]:
        flags = [weights.get(flag, flag) for flag in flags]
        run(program, ["plan", *flags, "--json"], environment)
        reports = []
        for index in range(3):
            path = f"{folder}/report.json"
            run(program, ["generate", "--prompt", PROMPT, "--seed", "1", "--output", f"{folder}/video.mp4",
                          "--report", path, *flags], environment)
            with open(path) as file:
                report = json.load(file)["plan"]
            stages = [stage for stage in report["stages"] if "actual_seconds" in stage]
            reports.append((
                sum(stage["actual_seconds"] for stage in stages), sum(stage["seconds"] for stage in stages),
                max(stage["actual_peak_bytes"] for stage in stages), max(stage["host_peak_bytes"] for stage in stages), stages))
        seconds, planned_seconds, peak, planned_peak, stages = sorted(reports, key=lambda report: report[0])[1]
        if arguments.stages:
            tell_stages(stages)
        print(
            f"| {title} | {planned_peak / 1e6:.0f} MB | {peak / 1e6:.0f} MB | {100 * (planned_peak / peak - 1):+.1f} % "
            f"| {planned_seconds:.2f} s | {seconds:.2f} s | {100 * (planned_seconds / seconds - 1):+.0f} % |", flush=True)
    shutil.rmtree(folder)


main()
