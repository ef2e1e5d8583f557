"""A recipe's set of examples: what stands for it in a key, the examples, their training windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import AnyTask, Questions, Task, Training
from pipeline.schedule import Schedule
from pipeline.tasks import question_answering, sentences, squad, text_classification
from pipeline.tasks.question_answering import Window
from pipeline.tasks.sentences import Sentence
from pipeline.tasks.squad import Question
from pipeline.tasks.text_classification import Text
from pipeline.training import Batch, Feed
from pipeline.types import DataError, Progress

Example = TypeVar("Example", Question, Sentence)


@dataclass(frozen=True)
class ExampleSet(ABC, Generic[Example]):
    """Reads its source once, when it is first needed."""

    entry: Questions

    called: ClassVar[str]
    """What its examples are."""

    @abstractmethod
    def _is_here(self) -> bool:
        """Whether the source is on this machine. Raises DataError for a path that leads nowhere."""

    @abstractmethod
    def _read(self) -> list[Example]: ...

    @abstractmethod
    def _digest(self, examples: list[Example]) -> str: ...

    @abstractmethod
    def _windows(self, example: Example, tokenizer: PreTrainedTokenizerBase, task: Any) -> list[Any]: ...

    @abstractmethod
    def collate(self, windows: Sequence[Any]) -> Batch:
        """Windows → ids, mask and token types (batch, seq), and their gold."""

    def identity(self) -> str:
        """The examples' fingerprint; the hub name where neither the recipe nor a file here gives it."""
        if self.entry.fingerprint:
            return self.entry.fingerprint
        if self._is_here():
            return self._fingerprint
        return f"hub:{self.entry.source}:{self.entry.split}:{self.entry.limit or 'all'}"

    @cached_property
    def examples(self) -> list[Example]:
        """The examples themselves; DataError when they are not those the recipe's fingerprint stands for."""
        found = self._read()
        expected = self.entry.fingerprint
        if expected and self._digest(found) != expected:
            raise DataError(
                f"{self.entry.source} holds other {self.called} than the recipe's fingerprint "
                f"{expected[:12]}… stands for; name it with --train-data or --eval-data to use it all the same"
            )
        return found

    @cached_property
    def _fingerprint(self) -> str:
        return self._digest(self.examples)

    def windows(self, tokenizer: PreTrainedTokenizerBase, task: AnyTask, progress: Progress) -> list[Any]:
        """Training windows of all examples, in order."""
        found: list[Any] = []
        for done, example in enumerate(self.examples, start=1):
            found.extend(self._windows(example, tokenizer, task))
            if done % 500 == 0 or done == len(self.examples):
                progress.update(done, len(self.examples), f"reading {self.called}")
        return found

    def feed(
        self,
        tokenizer: PreTrainedTokenizerBase,
        task: AnyTask,
        options: Training,
        seed: int,
        progress: Progress,
    ) -> Feed:
        """The windows of all examples, batched for a training run."""
        windows = self.windows(tokenizer, task, progress)
        lengths = [len(window.ids) for window in windows]
        batches = Schedule(lengths, options.tokens_per_batch, options.epochs, seed)
        return Feed(examples=Windows(windows), batches=batches, collate=self.collate)

    def spread(self, count: int) -> list[Example]:
        """So many examples, evenly spread over the set (all, if it has no more)."""
        if count >= len(self.examples):
            return self.examples
        return [self.examples[i * len(self.examples) // count] for i in range(count)]


class QuestionSet(ExampleSet[Question]):
    """Questions on passages."""

    called = "questions"

    def _is_here(self) -> bool:
        return squad.locate(self.entry.source) is not None

    def _read(self) -> list[Question]:
        return squad.read(self.entry.source, self.entry.split, self.entry.limit)

    def _digest(self, examples: list[Question]) -> str:
        return squad.fingerprint(examples)

    def _windows(self, example: Question, tokenizer: PreTrainedTokenizerBase, task: Task) -> list[Window]:
        return question_answering.windows(example, tokenizer, task)

    def collate(self, windows: Sequence[Window]) -> Batch:
        """Adds gold start and end positions (batch,)."""
        return collate(windows)


@dataclass(frozen=True)
class SentenceSet(ExampleSet[Sentence]):
    """Texts and pairs of texts with their gold: a label's number, or without `labels` a value."""

    labels: tuple[str, ...] = ()

    called = "texts"

    def _is_here(self) -> bool:
        return sentences.locate(self.entry.source) is not None

    def _read(self) -> list[Sentence]:
        return sentences.read(self.entry.source, self.entry.split, self.entry.limit, self.labels)

    def _digest(self, examples: list[Sentence]) -> str:
        return sentences.fingerprint(examples)

    def _windows(self, example: Sentence, tokenizer: PreTrainedTokenizerBase, task: Any) -> list[Text]:
        return text_classification.windows(example, tokenizer, task.max_length)

    def collate(self, windows: Sequence[Text]) -> Batch:
        """Adds the gold (batch,): int64 numbers of labels, or float32 values."""
        kind = torch.int64 if self.labels else torch.float32
        return {**padded(windows), "gold": torch.tensor([w.gold for w in windows]).to(kind)}


class Windows(Dataset[Any]):
    """Training windows, in memory."""

    def __init__(self, windows: Sequence[Any]) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Any:
        return self.windows[index]


def padded(windows: Sequence[Window | Text]) -> Batch:
    """Windows → ids, mask and token types, (batch, seq) with zeros after each window."""
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
    }


def collate(windows: Sequence[Window]) -> Batch:
    """Windows → ids, mask and token types (batch, seq), gold start and end positions (batch,)."""
    return {
        **padded(windows),
        "start_positions": torch.tensor([w.start for w in windows]),
        "end_positions": torch.tensor([w.end for w in windows]),
    }
