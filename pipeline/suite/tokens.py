"""Cases of tokenization: text → ids and character offsets, under every configuration."""

from __future__ import annotations

import hashlib
import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipeline.suite import texts

EACH_FAMILY = 85
SENTENCES = 320
BLOCK = 4096
SPANNED = (*range(0x30000), *range(0xE0000, 0xE1000), *range(0xF0000, 0xF0100), *range(0x10FF00, 0x110000))
"""Code points that are asked one by one: every plane that has letters or marks, and the edges of the others."""


def drawn(words: Sequence[str], sentences: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """(id, text) of every case."""
    draw = random.Random(seed)
    made = list(_plain())
    for family in texts.FAMILIES:
        for number in range(EACH_FAMILY):
            made.append((f"{family}-{number}", texts.fuzz(draw, words, family, 1 + number % 9)))
    for number in range(SENTENCES):
        made.append((f"sentence-{number}", _spoilt(draw, draw.choice(sentences))))
    for category, members in texts.by_category():
        made.append((f"category-{category}", members))
        made.append((f"category-{category}-words", "".join(f"a{member}b {member}É " for member in members)))
    return made


def _plain() -> Iterator[tuple[str, str]]:
    for number, text in enumerate(
        [
            "",
            " ",
            "\n\t",
            "\x00",
            "\u200b",
            "a",
            ".",
            "é",
            "e\u0301",
            "\u0301",
            "東",
            "😀",
            "[SEP]",
            "##a",
            "The mill.",
        ]
    ):
        yield f"plain-{number}", text
    for length in (1, 99, 100, 101, 5000):
        yield f"length-{length}", "z" * length
        yield f"length-{length}-marked", unicodedata.normalize("NFD", "é" * length)


def _spoilt(draw: random.Random, sentence: str) -> str:
    """A sentence of real text with a few characters put in, taken out or written in another form."""
    for _ in range(draw.randrange(5)):
        place = draw.randrange(len(sentence) + 1)
        piece = texts.FAMILIES[draw.choice([*texts.FAMILIES][:-1])](draw, ["mill"])
        sentence = sentence[:place] + piece + sentence[place + draw.randrange(3) :]
    return unicodedata.normalize(draw.choice(["NFC", "NFC", "NFD"]), sentence)


def case(name: str, text: str, tokenizers: Mapping[str, PreTrainedTokenizerBase]) -> dict[str, Any]:
    """One line of tokenization.json: ids and offsets [start, end, start, end, …] of every configuration."""
    whole = texts.well_formed(text)
    made: dict[str, Any] = {"id": name, **written(text)}
    for kind, tokenizer in tokenizers.items():
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        made[kind] = [encoded["input_ids"], [end for pair in encoded["offset_mapping"] for end in pair]]
    return made


def written(text: str, name: str = "text") -> dict[str, Any]:
    """A text as files hold it: a string, or its UTF-16 code units where it is no well-formed text."""
    if texts.well_formed(text) == text:
        return {name: text}
    units = text.encode("utf-16-le", "surrogatepass")
    return {f"{name}_utf16": [int.from_bytes(units[i : i + 2], "little") for i in range(0, len(units), 2)]}


def every_code_point(tokenizers: Mapping[str, PreTrainedTokenizerBase]) -> dict[str, Any]:
    """What normalization and splitting make of each code point, as one SHA-256 a block and configuration.

    Hashed are the words of "Aé", the code point, a mark of class 220 and "b", one space between words and
    a line feed after the last, in UTF-8.
    """
    blocks: dict[int, list[int]] = {}
    for point in SPANNED:
        if not 0xD800 <= point <= 0xDFFF:
            blocks.setdefault(point // BLOCK, []).append(point)
    made: dict[str, Any] = {"before": "Aé", "after": "\u0316b", "blocks": []}
    for points in blocks.values():
        hashes = {}
        for kind, tokenizer in tokenizers.items():
            backend = tokenizer.backend_tokenizer
            digest = hashlib.sha256()
            for point in points:
                normalized = backend.normalizer.normalize_str(f"{made['before']}{chr(point)}{made['after']}")
                words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normalized)]
                digest.update(" ".join(words).encode() + b"\n")
            hashes[kind] = digest.hexdigest()
        ends = {"first": points[0], "last": points[-1]}
        made["blocks"].append({**ends, **hashes})
    return made
