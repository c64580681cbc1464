"""Trains the two small tokenizers: LLaMA-3 style byte-level BPE and CLIP style lower-case BPE."""

import argparse
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPTokenizerFast, PreTrainedTokenizerFast

from scenes import caption, sample_scene
from text import NEGATIVE_PROMPT, TEMPLATE_IMAGE, TEMPLATE_VIDEO, template_tokens

LLAMA3_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP_REGEX = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
LLAMA_SPECIALS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
                  "<unk>", "<image>", "<pad>"]
LLAMA_VOCABULARY = 1024
CLIP_VOCABULARY = 640

ENGLISH = """
A small cat walks on the grass and looks at the camera.
The sun rises over the mountains while birds fly across the sky.
A person opens the door and walks slowly into the room.
The camera follows the object as it moves through the scene.
Two objects move towards each other and stop in the middle of the frame.
A bright light shines on the water, realistic style, high quality.
The background is dark, and the shape in the foreground is large.
The wheel turns around, first fast and then slow.
There is nothing else in the picture except one simple shape.
A pink star and a brown box are next to a long table.
It starts at the top, goes down, and then comes back to the left side.
Children play with a round toy near the river in the morning.
The train leaves the station at 10:30 and arrives 45 minutes later.
What does the video show? It shows a colored figure that changes its size.
"""


def corpus():
    rng = random.Random(7)
    lines = [caption(scene, rng) for scene in (sample_scene(rng) for _ in range(6000))]
    lines += [TEMPLATE_VIDEO.format("")] * 60 + [TEMPLATE_IMAGE.format("")] * 60 + [NEGATIVE_PROMPT] * 12
    lines += [line for line in ENGLISH.strip().splitlines() for _ in range(4)]
    return lines


def llama_tokenizer(lines):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_REGEX), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    trainer = trainers.BpeTrainer(vocab_size=LLAMA_VOCABULARY - len(LLAMA_SPECIALS), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    plain = []  # the special tokens are not part of the text that is learned
    for line in lines:
        for special in LLAMA_SPECIALS:
            line = line.replace(special, "\0")
        plain += [part for part in line.split("\0") if part]
    tokenizer.train_from_iterator(plain, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in LLAMA_SPECIALS])
    begin = tokenizer.token_to_id(LLAMA_SPECIALS[0])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{LLAMA_SPECIALS[0]} $A",
                                      pair=f"{LLAMA_SPECIALS[0]} $A {LLAMA_SPECIALS[0]}:1 $B:1",
                                      special_tokens=[(LLAMA_SPECIALS[0], begin)]),
    ])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>",
                                   unk_token="<unk>", pad_token="<pad>", padding_side="right",
                                   model_input_names=["input_ids", "attention_mask"])


def clip_tokenizer(lines, folder):
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP_REGEX), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    # CLIP's vocabulary holds every byte symbol twice (bare and with </w>); 2 places are for the special tokens
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=256 + CLIP_VOCABULARY, show_progress=False, initial_alphabet=alphabet,
                                  end_of_word_suffix="</w>")
    plain = [line for line in lines if "<|" not in line]
    tokenizer.train_from_iterator(plain, trainer)
    merges = [tuple(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]]
    vocabulary = {}
    for symbol in alphabet + [symbol + "</w>" for symbol in alphabet]:
        vocabulary[symbol] = len(vocabulary)
    kept = []
    for left, right in merges:
        if len(vocabulary) >= 512 + CLIP_VOCABULARY - 2:
            break
        if left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
        kept.append((left, right))
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in kept) + "\n")
    return CLIPTokenizerFast(vocab=vocabulary, merges=kept, model_max_length=77)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    args = parser.parse_args()
    lines = corpus()

    folder = args.work / "text_encoder"
    first = llama_tokenizer(lines)
    first.save_pretrained(folder)
    specials = {"bos_token": first.bos_token, "eos_token": first.eos_token, "unk_token": first.unk_token,
                "pad_token": first.pad_token}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials, indent=2))

    folder_2 = args.work / "text_encoder_2"
    second = clip_tokenizer(lines, folder_2)
    second.save_pretrained(folder_2)
    specials = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>"}
    (folder_2 / "special_tokens_map.json").write_text(json.dumps(specials, indent=2))

    print("LLaMA style:", len(first), "tokens; template prefixes:", template_tokens(first, TEMPLATE_VIDEO),
          template_tokens(first, TEMPLATE_IMAGE))
    print("CLIP style:", len(second), "tokens")
    sample = "A red ball moves from left to right on a black background."
    print(first.convert_ids_to_tokens(first(sample).input_ids))
    print(second.convert_ids_to_tokens(second(sample).input_ids))


if __name__ == "__main__":
    main()
