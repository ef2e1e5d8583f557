"""A recipe's question set: what stands for it in a key, its questions, its training windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Questions, Task, Training
from pipeline.schedule import Schedule
from pipeline.tasks import question_answering, squad
from pipeline.tasks.question_answering import Window
from pipeline.tasks.squad import Question
from pipeline.training import Batch, Feed
from pipeline.types import DataError, Progress


@dataclass(frozen=True)
class QuestionSet:
    """Reads its source once, when it is first needed."""

    entry: Questions

    def identity(self) -> str:
        """The questions' fingerprint; the hub name where neither the recipe nor a file here gives it."""
        if self.entry.fingerprint:
            return self.entry.fingerprint
        if squad.locate(self.entry.source):
            return self._fingerprint
        return f"hub:{self.entry.source}:{self.entry.split}:{self.entry.limit or 'all'}"

    @cached_property
    def questions(self) -> list[Question]:
        """The questions themselves; DataError when they are not those the recipe's fingerprint stands for."""
        found = squad.read(self.entry.source, self.entry.split, self.entry.limit)
        expected = self.entry.fingerprint
        if expected and squad.fingerprint(found) != expected:
            raise DataError(
                f"{self.entry.source} holds other questions than the recipe's fingerprint "
                f"{expected[:12]}… stands for; name it with --train-data or --eval-data to use it all the same"
            )
        return found

    @cached_property
    def _fingerprint(self) -> str:
        return squad.fingerprint(self.questions)

    def windows(self, tokenizer: PreTrainedTokenizerBase, task: Task, progress: Progress) -> list[Window]:
        """Training windows of all questions, in order."""
        found: list[Window] = []
        for done, question in enumerate(self.questions, start=1):
            found.extend(question_answering.windows(question, tokenizer, task))
            if done % 500 == 0 or done == len(self.questions):
                progress.update(done, len(self.questions), "reading questions")
        return found

    def feed(
        self, tokenizer: PreTrainedTokenizerBase, task: Task, options: Training, seed: int, progress: Progress
    ) -> Feed:
        """The windows of all questions, batched for a training run."""
        windows = self.windows(tokenizer, task, progress)
        lengths = [len(window.ids) for window in windows]
        batches = Schedule(lengths, options.tokens_per_batch, options.epochs, seed)
        return Feed(examples=Windows(windows), batches=batches, collate=collate)

    def spread(self, count: int) -> list[Question]:
        """So many questions, evenly spread over the set (all, if it has no more)."""
        if count >= len(self.questions):
            return self.questions
        return [self.questions[i * len(self.questions) // count] for i in range(count)]


class Windows(Dataset[Window]):
    """Training windows, in memory."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Window:
        return self.windows[index]


def collate(windows: Sequence[Window]) -> Batch:
    """Windows → ids, mask and token types (batch, seq), gold start and end positions (batch,)."""
    longest = max(len(w.ids) for w in windows)
    ids = np.zeros((len(windows), longest), np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = window.ids
        types[row, : len(window.ids)] = window.types
        mask[row, : len(window.ids)] = 1
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "token_type_ids": torch.from_numpy(types),
        "start_positions": torch.tensor([w.start for w in windows]),
        "end_positions": torch.tensor([w.end for w in windows]),
    }
