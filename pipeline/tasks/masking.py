"""Masked-language modelling: packed sequences with some words hidden, anew in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from pipeline.losses import NOT_MASKED
from pipeline.tasks.corpus import Packed

Place = tuple[int, int]
"""Epoch and sequence: together with the seed they fix what is masked."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A sequence with some tokens hidden; `words` holds those, and −100 everywhere else. int64 (seq,) each."""

    ids: np.ndarray
    words: np.ndarray


class MaskedSequences(Dataset[Masked]):
    """Packed sequences, masked anew in every epoch (dynamic masking: Liu et al. 2019, section 4.1)."""

    def __init__(self, packed: Packed, share: float, seed: int) -> None:
        self.packed, self.share, self.seed = packed, share, seed

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, place: Place) -> Masked:
        epoch, index = place
        random = np.random.default_rng([self.seed, epoch, index])
        return masked(self.packed.ids(index), self.share, self.packed, random)


def masked(ids: np.ndarray, share: float, packed: Packed, random: np.random.Generator) -> Masked:
    """Picks each token but the special ones with chance `share`, and hides it.

    Of those picked, 80 % become [MASK], 10 % a random word, 10 % stay (Devlin et al. 2018, section 3.1).
    """
    ids, words = ids.copy(), np.full_like(ids, NOT_MASKED)
    if share == 0:
        return Masked(ids, words)
    picked = (random.random(len(ids)) < share) & ~np.isin(ids, packed.special)
    words[picked] = ids[picked]
    fate = random.random(len(ids))
    other = random.integers(0, packed.vocabulary, len(ids))
    ids = np.where(picked & (fate < 0.8), packed.mask, ids)
    ids = np.where(picked & (fate >= 0.9), other, ids)
    return Masked(ids, words)


def collate(sequences: Sequence[Masked]) -> dict[str, torch.Tensor]:
    """Sequences → input_ids, attention_mask and words (batch, seq), padded at the end."""
    longest = max(len(s.ids) for s in sequences)
    ids = np.zeros((len(sequences), longest), np.int64)
    mask, words = np.zeros_like(ids), np.full_like(ids, NOT_MASKED)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = sequence.ids
        mask[row, : len(sequence.ids)] = 1
        words[row, : len(sequence.ids)] = sequence.words
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "words": torch.from_numpy(words),
    }
