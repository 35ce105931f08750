"""CLIPTokenizer learned from captions: byte-level, so that no word is unknown and a trigger word splits into its letters."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from starter import config
from starter.captions import caption
from starter.pictures import Pictures
from studio.errors import from_os_error

# Words that prompts have and captions don't, so that they are not cut into letters.
_OTHER_WORDS = [
    "a",
    "an",
    "the",
    "of",
    "and",
    "with",
    "in",
    "on",
    "at",
    "to",
    "for",
    "is",
    "are",
    "photo",
    "image",
    "drawing",
    "painting",
    "studio",
    "light",
    "soft",
    "bright",
    "color",
    "colored",
    "colour",
    "style",
    "up",
    "front",
    "view",
    "hero",
    "beautiful",
    "funny",
    "nice",
    "cute",
    "pretty",
    "handsome",
    "fancy",
    "modern",
    "classic",
    "jacket",
    "coat",
    "dress",
    "suit",
    "hat",
    "cap",
    "solid",
    "plain",
    "simple",
    "wearing",
    "straight",
    "curly",
    "wavy",
    "red",
    "green",
    "blue",
    "yellow",
    "brown",
    "black",
    "white",
    "summer",
    "winter",
    "spring",
    "autumn",
    "rain",
    "sun",
    "day",
    "morning",
    "evening",
    "warm",
    "cold",
    "freckles",
    "lips",
    "nose",
    "ears",
    "neck",
    "hands",
]
_SPLIT = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def learn_tokenizer(pictures: Pictures, about: config.Tokenizer, seed: int) -> CLIPTokenizer:
    """The tokenizer of captions of chance pictures: every byte, every byte that ends a word, and the merges."""
    dice = random.Random(f"{seed} tokenizer")
    texts = [caption(pictures.attributes[dice.randrange(pictures.learned)], dice).text for _ in range(about.captions)]
    texts += [" ".join(dice.sample(_OTHER_WORDS, 12)) for _ in range(400)]
    learning = Tokenizer(BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    # As CLIP's own: lower case, letters and digits apart, bytes as letters.
    learning.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    learning.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=about.vocabulary, min_frequency=about.seen, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    learning.train_from_iterator(texts, trainer)
    merges = [(first, second) for first, second in json.loads(learning.to_str())["model"]["merges"]]
    letters = sorted(alphabet)
    words = dict.fromkeys([*letters, *(letter + "</w>" for letter in letters), *(first + second for first, second in merges)])
    numbers = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    build: Any = CLIPTokenizer
    return build(vocab=numbers, merges=merges, model_max_length=about.length)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Raises DiskFull or another LikenessError."""
    try:
        tokenizer.save_pretrained(str(folder))
    except OSError as error:
        raise from_os_error(error, "save the tokenizer") from error
