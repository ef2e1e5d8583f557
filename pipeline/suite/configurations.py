"""Tokenizers that the cases are made with: pocket's own, and four over a small vocabulary made here."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from pipeline.models import checkpoint

POCKET = Path(__file__).parents[1] / "pretrained" / "pocket-general"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FLAGS: dict[str, dict[str, bool | None]] = {
    "uncased": {"lowercase": True, "strip_accents": None, "clean_text": True, "handle_chinese_chars": True},
    "accents": {"lowercase": True, "strip_accents": False, "clean_text": True, "handle_chinese_chars": True},
    "cased": {"lowercase": False, "strip_accents": None, "clean_text": True, "handle_chinese_chars": True},
    "bare": {"lowercase": False, "strip_accents": True, "clean_text": False, "handle_chinese_chars": False},
}
"""The small vocabulary's tokenizers. `strip_accents` null means as `lowercase` does."""
MOST_WORDS = 1500
MOST_CHARACTERS = 3500
LEFT_OUT = 11
"""Every so-many-th character has no piece of its own, so that words with it are unknown."""
APART = ("é", "e\u0301", "각", "\u1100\u1161\u11a8", "Å", "\u212b", "ộ", "o\u0323\u0302", "o\u0302\u0323")
"""Pieces that some languages' strings hold equal, because they are canonically equivalent."""


def small_vocabulary(texts: Iterable[str]) -> list[str]:
    """Frequent words of the texts, their beginnings and ends, and most characters as words and as parts."""
    words: Counter[str] = Counter()
    for flags in FLAGS.values():
        normalizer = _normalizer(flags)
        for text in texts:
            found = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))
            words.update(word for word, _ in found if len(word) < 100)
    characters = Counter(character for word in words for character in set(word))
    kept = sorted(characters, key=lambda character: (-characters[character], character))[:MOST_CHARACTERS]
    kept = sorted(character for i, character in enumerate(kept) if i < 100 or i % LEFT_OUT)
    common = [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]]
    beginnings = [word[: len(word) // 2] for word in common if len(word) > 5]
    ends = [f"##{word[len(word) // 2 :]}" for word in common if len(word) > 3]
    parts = [f"##{character}" for character in kept] + [f"##{piece}" for piece in APART]
    return list(dict.fromkeys([*SPECIAL, *APART, *common, *beginnings, *ends, *kept, *parts]))


def load(vocabulary: list[str]) -> dict[str, PreTrainedTokenizerBase]:
    """Name → tokenizer, opened as a bundle's is."""
    described = json.loads((POCKET / "tokenizer.json").read_text(encoding="utf-8"))
    made = {"pocket": checkpoint.load_tokenizer(POCKET)}
    with tempfile.TemporaryDirectory() as scratch:
        for name, flags in FLAGS.items():
            folder = Path(scratch) / name
            folder.mkdir()
            (folder / "tokenizer.json").write_text(
                json.dumps(_described(described, vocabulary, flags)), encoding="utf-8"
            )
            (folder / "tokenizer_config.json").write_bytes((POCKET / "tokenizer_config.json").read_bytes())
            made[name] = checkpoint.load_tokenizer(folder)
            # transformers may set the normalizer anew from its own configuration file
            backend = made[name].backend_tokenizer
            backend.normalizer = _normalizer(flags)
    return made


def _normalizer(flags: Mapping[str, bool | None]) -> normalizers.BertNormalizer:
    given: dict[str, Any] = dict(flags)
    return normalizers.BertNormalizer(**given)


def _described(
    pocket: Mapping[str, Any], vocabulary: list[str], flags: Mapping[str, bool | None]
) -> dict[str, Any]:
    """pocket's tokenizer.json with another vocabulary and other flags."""
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    processor = json.loads(json.dumps(pocket["post_processor"]))
    for piece, entry in processor["special_tokens"].items():
        entry["ids"] = [ids[piece]]
    return {
        **pocket,
        "added_tokens": [{**token, "id": ids[token["content"]]} for token in pocket["added_tokens"]],
        "normalizer": {**pocket["normalizer"], **flags},
        "post_processor": processor,
        "model": {**pocket["model"], "vocab": ids},
    }
