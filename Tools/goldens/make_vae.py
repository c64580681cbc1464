"""Random tiny VAEs: whole state in Tencent's layout, direct and tiled decoding by diffusers' module."""

import math

import torch
from diffusers import AutoencoderKLHunyuanVideo

from common import assert_every_tensor_matters, normal, save, write_json
from tencent_layout import vae_config_to_tencent

SAMPLE_SIZE, SAMPLE_TSIZE = 32, 16  # latent tiles of 4 x 4 and of 4 (+ 1) frames; Tencent's are 32 x 32 and 16 (+ 1)
OVERLAP = 0.25
COMMON = dict(in_channels=3, out_channels=3, latent_channels=16, act_fn="silu", spatial_compression_ratio=8,
              temporal_compression_ratio=4, mid_block_add_attention=True)

# latent (frames, height, width) of every decoding
CASES = {
    "one_layer": (
        dict(COMMON, block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4, scaling_factor=0.545938),
        {
            "direct_1_frame": (1, 3, 5), "direct_2_frames": (2, 5, 3), "direct_3_frames": (3, 2, 4), "direct_6_frames": (6, 2, 3),
            "tiled_space": (2, 6, 8),  # rows 4 + 3 of 6, columns 4 + 4 + 2 of 8
            "tiled_space_last_column": (1, 3, 10),  # the last column tile is one latent wide
            "tiled_time": (6, 2, 3),  # 5 frames, then 3
            "tiled_time_last_frame": (7, 3, 2),  # 5, 4, 1: the last tile holds one frame, which is dropped
            "tiled_time_and_space": (5, 5, 3),
            "tiled_not_needed": (4, 2, 4),  # as large as a tile: decoded directly
        }),
    "two_layers": (
        dict(COMMON, block_out_channels=(4, 6, 8, 12), layers_per_block=2, norm_num_groups=2, scaling_factor=0.476986),
        {"direct_1_frame": (1, 4, 2), "direct_3_frames": (3, 3, 2), "tiled_time_and_space": (8, 2, 5)}),
}


def random_weights(network, seed):
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                value = normal(seed, name, parameter.shape, std=0.2)
            elif parameter.ndim == 1:
                value = normal(seed, name, parameter.shape, std=0.3, mean=1.0)
            else:
                value = normal(seed, name, parameter.shape, std=1 / math.sqrt(parameter[0].numel()))
            parameter.copy_(value)


def set_tiling(network, tiled):
    """Tencent's rule on diffusers' attributes: tile sizes from the configuration, a quarter of a tile shared."""
    network.use_tiling = network.use_framewise_decoding = tiled
    network.tile_sample_min_height = network.tile_sample_min_width = SAMPLE_SIZE
    network.tile_sample_stride_height = network.tile_sample_stride_width = int(SAMPLE_SIZE * (1 - OVERLAP))
    network.tile_sample_min_num_frames = SAMPLE_TSIZE
    network.tile_sample_stride_num_frames = int(SAMPLE_TSIZE * (1 - OVERLAP))


def record_tiles(network):
    """Sizes of what the decoder is given, call by call: they show which way of tiling was taken."""
    calls = []
    hook = network.decoder.register_forward_pre_hook(lambda _, given: calls.append(list(given[0].shape[2:])))
    return calls, hook


def spans(size, tile, stride):
    return [min(tile, size - start) for start in range(0, size, stride)]


def expected_tiles(shape):
    """Tencent's dispatch: more frames than a tile -> tiles in time, and in each of them, or else, tiles in space."""
    frames, height, width = shape
    frame_tile, tile = SAMPLE_TSIZE // 4, SAMPLE_SIZE // 8
    times = spans(frames, frame_tile + 1, frame_tile * 3 // 4) if frames > frame_tile else [frames]
    rows, columns = [height], [width]
    if height > tile or width > tile:
        rows, columns = spans(height, tile, tile * 3 // 4), spans(width, tile, tile * 3 // 4)
    return [[t, y, x] for t in times for y in rows for x in columns]


@torch.no_grad()
def make(case, seed, folder):
    config, decodings = CASES[case]
    network = AutoencoderKLHunyuanVideo(**config).eval()
    random_weights(network, seed)
    tensors, described = {}, {}
    for name, shape in decodings.items():
        latents = normal(seed, name, (1, config["latent_channels"], *shape)) * 0.9
        set_tiling(network, name.startswith("tiled"))
        calls, hook = record_tiles(network)
        decoded = network.decode(latents / config["scaling_factor"]).sample
        hook.remove()
        assert calls == (expected_tiles(shape) if name.startswith("tiled") else [list(shape)]), (name, calls)
        assert decoded.shape[2:] == (4 * shape[0] - 3, 8 * shape[1], 8 * shape[2])
        tensors |= {f"{name}.latents": latents, f"{name}.decoded": decoded}
        described[name] = {"latents": list(shape), "tiled": name.startswith("tiled"), "decoder_calls": calls}
        print(f"vae/{case}/{name}: std {decoded.std():.3f}")

    # decoding needs no encoder, and softmax does not see a bias of the keys
    small = normal(seed, "probe", (1, config["latent_channels"], 2, 2, 2))
    set_tiling(network, False)
    assert_every_tensor_matters(
        network, lambda: network.decode(small).sample, seed, exempt=("encoder.*", "quant_conv.*", "*.to_k.bias"))

    write_json(folder / "config.json", vae_config_to_tencent(config, SAMPLE_SIZE, SAMPLE_TSIZE))
    save(folder / "weights.safetensors", network.state_dict())
    save(folder / "expected.safetensors", tensors)
    write_json(folder / "expected.json", {
        "decodings": described,
        "latents": "as the sampler delivers them: decoded = decode(latents / scaling_factor)",
        "decoded": "raw network output [1, 3, frames, height, width]; pixels are clamp(x / 2 + 0.5, 0, 1)",
        "decoder_calls": "latent frames, height and width of every tile, in the order of decoding",
    })


def generate(out):
    for seed, case in enumerate(CASES, start=11):
        make(case, seed, out / "vae" / case)
