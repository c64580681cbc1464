"""Plans and makes videos with 12 settings, and prints a table of what was planned beside what came of it.

    python3 Benchmarks/planning/measure.py .build/release/hyvideo > table.md
    python3 Benchmarks/planning/measure.py .build/release/hyvideo --settings 0 4 --stages
    python3 Benchmarks/planning/measure.py .build/release/hyvideo --intervals

With `--intervals` the settings are others, to which no rate was fitted, and the table says whether the time was within what was printed:
of a first run, which knows no times but those that it takes itself, and of runs after `plan`.

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
# Nothing in the program may be fitted to these: they tell whether its intervals hold elsewhere.
UNSEEN = [
    ("176x304, 1 frame, 7 steps", ["--video-size", "176", "304", "--video-length", "1", "--infer-steps", "7"]),
    ("112x208, 33 frames, 3 steps, true guidance",
     ["--video-size", "112", "208", "--video-length", "33", "--infer-steps", "3", "--cfg-scale", "2"]),
    ("240x240, 9 frames, 6 steps, 1 thread",
     ["--video-size", "240", "240", "--video-length", "9", "--infer-steps", "6", "--threads", "1"]),
    ("160x272, 21 frames, 8 steps, step cache",
     ["--video-size", "160", "272", "--video-length", "21", "--infer-steps", "8", "--cache", "easycache",
      "--cache-option", "thresh=0.1"]),
    ("192x96, 17 frames, 9 steps, bf16 products, streamed",
     ["--video-size", "192", "96", "--infer-steps", "9", "--precision", "bf16", "--dit-weight", "BF16",
      "--use-cpu-offload"]),
    ("208x112, 13 frames, 6 steps, 2 ranks",
     ["--video-size", "208", "112", "--video-length", "13", "--infer-steps", "6", "--ranks", "2"]),
    ("128x144, 65 frames, 3 steps, whole",
     ["--video-size", "128", "144", "--video-length", "65", "--infer-steps", "3", "--no-vae-tiling"]),
    ("352x96, 5 frames, 40 steps", ["--video-size", "352", "96", "--video-length", "5", "--infer-steps", "40"]),
]


def run(program, arguments, environment):
    result = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{arguments}: {result.stderr}")
    return result.stdout


def tell_stages(stages):
    for stage in stages:
        print(f"    {stage['name']}: planned {stage['seconds']:.3f} s, took {stage['actual_seconds']:.3f} s "
              f"(timed {stage['timed_seconds']:.3f}, guessed {stage['guessed_seconds']:.3f}, assumed {stage['assumed_seconds']:.3f}, "
              f"waiting {stage['reading_seconds']:.3f}); "
              f"planned {stage['host_peak_bytes'] / 1e6:.1f} MB, took {stage['actual_peak_bytes'] / 1e6:.1f} MB", file=sys.stderr)


def made(program, flags, folder, environment):
    """The plan of a run with what it took."""
    path = f"{folder}/report.json"
    run(program, ["generate", "--prompt", PROMPT, "--seed", "1", "--output", f"{folder}/video.mp4", "--report", path, *flags],
        environment)
    with open(path) as file:
        plan = json.load(file)["plan"]
    plan["taken"] = sum(stage.get("actual_seconds", 0) for stage in plan["stages"])
    return plan


def tell_intervals(program, settings, folder, environment, shows_stages):
    print("| setting | first run: planned | taken | after `plan`: planned | taken | inside |")
    print("|---|---:|---:|---:|---:|---:|")
    for title, flags in settings:
        shutil.rmtree(f"{folder}/hyvideo", ignore_errors=True)
        plans = [made(program, flags, folder, environment)]
        run(program, ["plan", *flags], environment)
        plans += [made(program, flags, folder, environment) for _ in range(2)]
        if shows_stages:
            for plan in plans:
                print(f"  {title}: {plan['seconds']:.2f} ± {plan['seconds_uncertainty']:.2f} s, took {plan['taken']:.2f} s; "
                      f"{plan['guessed_share']:.0%} guessed", file=sys.stderr)
                tell_stages([stage for stage in plan["stages"] if "actual_seconds" in stage])
        inside = [is_inside(plan) for plan in plans]
        def words(plan):
            return f"{plan['seconds']:.2f} ± {plan['seconds_uncertainty']:.2f} s"
        taken = [f"{plan['taken']:.2f}" for plan in plans]
        print(f"| {title} | {words(plans[0])} | {taken[0]} s | {words(plans[1])} | {' and '.join(taken[1:])} s "
              f"| {sum(inside)} of {len(inside)} |", flush=True)


def is_inside(plan):
    least = plan["seconds"] - plan.get("skippable_seconds", 0) - plan["seconds_uncertainty"]
    return least <= plan["taken"] <= plan["seconds"] + plan["seconds_uncertainty"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--settings", type=int, nargs=2, default=[0, None], metavar=("FIRST", "END"))
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--intervals", action="store_true")
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
    if arguments.intervals:
        unseen = [(title, [weights.get(flag, flag) for flag in flags]) for title, flags in UNSEEN]
        tell_intervals(program, unseen[slice(*arguments.settings)], folder, environment, arguments.stages)
        return shutil.rmtree(folder)
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
