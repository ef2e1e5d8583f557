"""Words are hidden as BERT hides them, anew in every epoch, and the same again with the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from pipeline.losses import NOT_MASKED
from pipeline.recipe import Corpus
from pipeline.tasks.corpus import CorpusText, Packed
from pipeline.tasks.masking import Masked, MaskedSequences, collate, masked
from pipeline.types import Silent


@pytest.fixture
def packed(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> Packed:
    source = tmp_path / "a.txt"
    source.write_text("The old mill was built in 1858.\nIt stands by the river Öre.\n" * 600, encoding="utf-8")
    text = CorpusText(Corpus(source=str(source)))
    return text.pack(tmp_path / "packed", tokenizer, length=64, layout="packed", progress=Silent())


def test_masking_is_berts(packed: Packed, tokenizer: PreTrainedTokenizerBase) -> None:
    """Devlin et al. 2018: 15 % of tokens, of those 80 % [MASK], 10 % random, 10 % unchanged."""
    rows = [(packed.ids(i), MaskedSequences(packed, 0.15, 0)[0, i]) for i in range(len(packed))]
    before = np.concatenate([ids for ids, _ in rows])
    after = np.concatenate([row.ids for _, row in rows])
    words = np.concatenate([row.words for _, row in rows])
    picked = words != NOT_MASKED
    ordinary = ~np.isin(before, tokenizer.all_special_ids)
    assert not (picked & ~ordinary).any(), "special tokens stay"
    assert (words[picked] == before[picked]).all()
    assert (after[~picked] == before[~picked]).all()
    assert picked.sum() / ordinary.sum() == pytest.approx(0.15, abs=0.01)
    hidden = (after[picked] == tokenizer.mask_token_id).mean()
    kept = (after[picked] == before[picked]).mean()
    assert hidden == pytest.approx(0.8, abs=0.03)
    assert kept == pytest.approx(0.1, abs=0.03)


def test_masking_is_dynamic_and_repeats(packed: Packed) -> None:
    one, again, other_seed = (MaskedSequences(packed, 0.3, seed) for seed in (0, 0, 1))
    assert (one[0, 3].ids == again[0, 3].ids).all()
    assert (one[0, 3].ids != one[1, 3].ids).any(), "masked anew in every epoch"
    assert (one[0, 3].ids != other_seed[0, 3].ids).any()
    untouched = masked(packed.ids(3), 0.0, packed, np.random.default_rng(0))
    assert (untouched.ids == packed.ids(3)).all()
    assert (untouched.words == NOT_MASKED).all()


def test_collated_sequences_are_padded_at_the_end() -> None:
    rows = [Masked(np.array(ids), np.array(words)) for ids, words in (([2, 4, 3], [-100, 9, -100]), ([2], [7]))]
    made = {name: tensor.tolist() for name, tensor in collate(rows).items()}
    assert made == {
        "input_ids": [[2, 4, 3], [2, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "words": [[-100, 9, -100], [7, -100, -100]],
    }
