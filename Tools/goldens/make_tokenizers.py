"""Token ids over hard texts: the demo's two tokenizers, and two larger ones that are trained here."""

import base64
import json
from collections import Counter

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bpe_training import train_merges
from common import DEMO, write_json
from hard_texts import corpus, hard_texts, long_prompt

LLAMA_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP_REGEX = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
LLAMA_SPECIALS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<unk>",
                  "<image>", "<pad>")
CLIP_SPECIALS = ("<|startoftext|>", "<|endoftext|>")
LLAMA_VOCABULARY, CLIP_VOCABULARY = 4096, 3072
CORPUS_LINES = 9000
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def train(pre_tokenizer, normalizer, count, suffix=""):
    """Merges over the corpus; `suffix` marks the last symbol of a word."""
    words = Counter()
    for line in corpus(5, CORPUS_LINES):
        text = normalizer.normalize_str(line) if normalizer is not None else line
        words.update(piece for piece, _ in pre_tokenizer.pre_tokenize_str(text))
    return train_merges({(*word[:-1], word[-1] + suffix): words[word] for word in sorted(words)}, count)


def assign_ids(symbols, merges, size):
    """Ids in the order of first appearance; merges that do not fit are left out."""
    vocabulary = {symbol: i for i, symbol in enumerate(symbols)}
    kept = []
    for left, right in merges:
        if len(vocabulary) == size:
            break
        vocabulary.setdefault(left + right, len(vocabulary))
        kept.append((left, right))
    return vocabulary, kept


def special(tokens):
    return [AddedToken(token, special=True, normalized=False) for token in tokens]


def llama_tokenizer():
    """LLaMA-3's splitting and template; a piece that is a token as a whole still goes through its merges."""
    splitting = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_REGEX), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    size = LLAMA_VOCABULARY - len(LLAMA_SPECIALS)
    vocabulary, merges = assign_ids(ALPHABET, train(splitting, None, size), size)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=False))
    tokenizer.pre_tokenizer = splitting
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special(LLAMA_SPECIALS))
    begin = LLAMA_SPECIALS[0]
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1",
                                      special_tokens=[(begin, tokenizer.token_to_id(begin))]),
    ])
    return tokenizer


def clip_tokenizer():
    """CLIP's normalisation and splitting; every byte is in the vocabulary twice, bare and at the end of a word."""
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    splitting = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP_REGEX), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    size = CLIP_VOCABULARY - len(CLIP_SPECIALS)
    symbols = ALPHABET + [symbol + "</w>" for symbol in ALPHABET]
    vocabulary, merges = assign_ids(symbols, train(splitting, normalizer, size, suffix="</w>"), size)
    for token in CLIP_SPECIALS:
        vocabulary[token] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", unk_token=CLIP_SPECIALS[1]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitting
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special(CLIP_SPECIALS))
    begin, end = ((token, vocabulary[token]) for token in CLIP_SPECIALS)
    tokenizer.post_processor = processors.RobertaProcessing(end, begin, trim_offsets=False, add_prefix_space=False)
    return tokenizer, vocabulary, merges


def meta_specials():
    """LLaMA-3's special tokens, which its tokenizer.model leaves out."""
    return (["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{i}|>" for i in range(4)]
            + ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
            + [f"<|reserved_special_token_{i}|>" for i in range(5, 251)])


def write_ranks(path, vocabulary, texts):
    """Meta's form of a vocabulary, and what tiktoken makes of the texts with it."""
    byte = byte_of_symbol()
    ranks = {bytes(byte[c] for c in token): rank for rank, token in enumerate(sorted(vocabulary, key=vocabulary.get))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    specials = {token: len(ranks) + i for i, token in enumerate(meta_specials())}
    encoding = tiktoken.Encoding("llama", pat_str=LLAMA_REGEX, mergeable_ranks=ranks, special_tokens=specials)
    begin = specials["<|begin_of_text|>"]
    rows = [{"text": text, "ids": [begin] + encoding.encode(text, allowed_special="all")} for text in texts]
    path.with_name("goldens.json").write_text(
        "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


def byte_of_symbol():
    """The byte that each character of a byte-level vocabulary stands for."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def write_goldens(path, tokenizer, texts):
    rows = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


def truncated(tokenizer, text, length):
    tokenizer.enable_truncation(length)
    ids = tokenizer.encode(text).ids
    tokenizer.no_truncation()
    assert len(ids) == length
    return {"text": text, "max_length": length, "ids": ids}


def generate(out):
    folder, texts = out / "tokenizers", hard_texts()
    demo_llama = Tokenizer.from_file(str(DEMO / "text_encoder" / "tokenizer.json"))
    demo_clip = Tokenizer.from_file(str(DEMO / "text_encoder_2" / "tokenizer.json"))
    write_goldens(folder / "llama.json", demo_llama, texts)
    write_goldens(folder / "clip.json", demo_clip, texts)

    defaults = json.loads((DEMO / "model.json").read_text())["defaults"]
    prompt, length = long_prompt(400), defaults["max_prompt_tokens"] + defaults["crop_start"]
    write_json(folder / "truncation.json", {
        "llama": truncated(demo_llama, defaults["template"].replace("{}", prompt), length),
        "clip": truncated(demo_clip, prompt, 77),
    }, indent=None)

    larger = llama_tokenizer()
    path = folder / "llama_4k" / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(larger.to_str())
    write_goldens(path.with_name("goldens.json"), Tokenizer.from_file(str(path)), texts)

    vocabulary = {token: i for token, i in larger.get_vocab().items() if token not in LLAMA_SPECIALS}
    write_ranks(folder / "llama_ranks" / "tokenizer.model", vocabulary, texts)

    larger, vocabulary, merges = clip_tokenizer()
    path = folder / "clip_3k" / "vocab.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vocabulary, ensure_ascii=False))
    path.with_name("merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    write_goldens(path.with_name("goldens.json"), larger, texts)
    print(f"tokenizers: {len(texts)} texts")
