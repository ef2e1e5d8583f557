"""Windows on their way into a training run."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.tasks.dataset import Windows, collate
from pipeline.tasks.question_answering import Window


def window(length: int, start: int, end: int) -> Window:
    ids = np.arange(100, 100 + length, dtype=np.int32)
    types = (np.arange(length) >= 2).astype(np.int8)
    return Window(ids, types, np.zeros((length, 2), np.int32), start, end)


def test_collate_pads_at_the_end() -> None:
    batch = collate([window(3, 1, 2), window(5, 0, 0)])
    assert {name: t.tolist() for name, t in batch.items()} == {
        "input_ids": [[100, 101, 102, 0, 0], [100, 101, 102, 103, 104]],
        "attention_mask": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
        "token_type_ids": [[0, 0, 1, 0, 0], [0, 0, 1, 1, 1]],
        "start_positions": [1, 0],
        "end_positions": [2, 0],
    }
    assert all(t.dtype == torch.int64 for t in batch.values())


def test_windows_are_a_data_set() -> None:
    kept = [window(3, 1, 2), window(5, 0, 0)]
    assert len(Windows(kept)) == 2
    assert Windows(kept)[1] is kept[1]
