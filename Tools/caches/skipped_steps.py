"""What a skipped step takes of a full one, in measured time.

Makes a checkpoint with random weights whose transformer is 1024 channels wide and as deep as the published one (1.4
billion parameters, bfloat16, 2.8 GB; the other networks are the demo's) and runs each cache rule on it, at a size where the
blocks dominate. Prints a table: the median seconds of full and of skipped steps, with the weights in memory and, with
--stream, read from disk as they are used.

    python3 Tools/caches/skipped_steps.py --folder /var/tmp/wide [--stream]
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WIDTH, HEADS = 1024, 8
RULES = [
    ("teacache", ["rel_l1_thresh=1e9"]),
    ("teacache-ascend", ["rel_l1_thresh=1e9"]),
    ("fbcache", ["rel_l1_thresh=1e9"]),
    ("taylorseer", []),
    ("taylorseer", ["scope=velocity"]),
    ("easycache", ["thresh=1e9"]),
    ("magcache", ["thresh=1e9", "K=100", "mag_ratios=1"]),
]


def parameters(config):
    c, mlp, head = WIDTH, 4 * WIDTH, WIDTH // HEADS
    text, pooled = config["text_states_dim"], config["text_states_dim_2"]

    def layer(name, outputs, *inputs):
        yield f"{name}.weight", (outputs, *inputs)
        yield f"{name}.bias", (outputs,)

    yield from layer("img_in.proj", c, 16, 1, 2, 2)
    for name in ["txt_in.t_embedder", "time_in", "guidance_in"]:
        yield from layer(f"{name}.mlp.0", c, 256)
        yield from layer(f"{name}.mlp.2", c, c)
    yield from layer("txt_in.input_embedder", c, text)
    yield from layer("txt_in.c_embedder.linear_1", c, text)
    yield from layer("txt_in.c_embedder.linear_2", c, c)
    for index in range(config["refiner_depth"]):
        block = f"txt_in.individual_token_refiner.blocks.{index}"
        yield from layer(f"{block}.norm1", c)
        yield from layer(f"{block}.norm2", c)
        yield from layer(f"{block}.self_attn_qkv", 3 * c, c)
        yield from layer(f"{block}.self_attn_proj", c, c)
        yield from layer(f"{block}.mlp.fc1", mlp, c)
        yield from layer(f"{block}.mlp.fc2", c, mlp)
        yield from layer(f"{block}.adaLN_modulation.1", 2 * c, c)
    yield from layer("vector_in.in_layer", c, pooled)
    yield from layer("vector_in.out_layer", c, c)
    for index in range(config["mm_double_blocks_depth"]):
        for stream in ["img", "txt"]:
            block = f"double_blocks.{index}.{stream}"
            yield from layer(f"{block}_mod.linear", 6 * c, c)
            yield from layer(f"{block}_attn_qkv", 3 * c, c)
            yield from layer(f"{block}_attn_proj", c, c)
            yield from layer(f"{block}_mlp.fc1", mlp, c)
            yield from layer(f"{block}_mlp.fc2", c, mlp)
            for norm in "qk":
                yield f"{block}_attn_{norm}_norm.weight", (head,)
    for index in range(config["mm_single_blocks_depth"]):
        block = f"single_blocks.{index}"
        yield from layer(f"{block}.modulation.linear", 3 * c, c)
        yield from layer(f"{block}.linear1", 3 * c + mlp, c)
        yield from layer(f"{block}.linear2", c, c + mlp)
        for norm in "qk":
            yield f"{block}.{norm}_norm.weight", (head,)
    yield from layer("final_layer.adaLN_modulation.1", 2 * c, c)
    yield from layer("final_layer.linear", 64, c)


def make_checkpoint(folder):
    shutil.copytree(ROOT / "Models" / "demo", folder)
    part = folder / "hunyuan-video-t2v-720p" / "transformers"
    config = json.loads((part / "config.json").read_text())
    config |= {
        "hidden_size": WIDTH, "heads_num": HEADS, "mm_double_blocks_depth": 20, "mm_single_blocks_depth": 40,
        "rope_dim_list": [16, 56, 56], "mlp_width_ratio": 4.0,
    }
    (part / "config.json").write_text(json.dumps(config, indent=2))
    header, end = {}, 0
    for name, shape in parameters(config):
        size = 2 * int(numpy.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    numbers = numpy.random.default_rng(0).standard_normal(1 << 22, dtype=numpy.float32)
    with open(part / "mp_rank_00_model_states.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in parameters(config):
            count = int(numpy.prod(shape))
            if len(shape) == 1:
                values = numpy.full(count, 1.0 if name.endswith("weight") else 0.0, numpy.float32)
            else:
                values = numpy.resize(numbers, count) * numpy.float32(0.5 / numpy.sqrt(count / shape[0]))
            (values.view(numpy.uint32) >> 16).astype(numpy.uint16).tofile(file)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=pathlib.Path, required=True, help="where the checkpoint is made")
    options.add_argument("--program", default=str(ROOT / ".build" / "release" / "hyvideo"))
    options.add_argument("--stream", action="store_true", help="keep the weights on disk")
    options = options.parse_args()
    if not options.folder.exists():
        make_checkpoint(options.folder)
    print("| rule | full step s | skipped step s | of a full step |\n|---|---|---|---|")
    for method, pairs in RULES:
        report = options.folder / "report.json"
        command = [
            options.program, "generate", "--model", options.folder, "--prompt", "x", "--seed", "1", "--video-size", "256",
            "256", "--video-length", "5", "--infer-steps", "12", "--progress", "none", "--output",
            options.folder / "x.mp4", "--report", report, "--cache", method,
        ]
        for pair in pairs:
            command += ["--cache-option", pair]
        if options.stream:
            command.append("--use-cpu-offload")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        steps = json.loads(report.read_text())["steps"]
        full = statistics.median(step["seconds"] for step in steps if not step["skipped"])
        skipped = statistics.median(step["seconds"] for step in steps if step["skipped"])
        print(f"| {' '.join([method, *pairs])} | {full:.2f} | {skipped:.4f} | {100 * skipped / full:.2f} % |", flush=True)


main()
