"""What a stage knows of a task: data → windows → logits → answers → metric, without asking which task it is.

An example is a question or a text, a window one model input of it, an answer what its logits say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.models.student import Head
from pipeline.types import Answerer

if TYPE_CHECKING:
    import torch

    from pipeline.recipe import Questions
    from pipeline.tasks.dataset import ExampleSet
    from pipeline.training import Batch

Logits = tuple[np.ndarray, ...]
"""A program's outputs for one window, without the batch dimension."""
Tensors = tuple["torch.Tensor", ...]
Extent = Literal["tokens", "example"]
Decoder = Callable[[Any, Sequence[Any], Sequence[Logits]], Any]
"""Example, its windows, their logits → answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How people are told about a task: in a file name, a result table, a model card."""

    code: str
    """In a program's file name."""
    title: str
    does: str
    """What a program of it does, a sentence without its full stop."""
    already: str
    """What a teacher with its head does."""
    examples: str
    """What it is asked: questions, texts."""
    input_ids: str
    """What a window holds."""
    same: str
    """What two models agree on: answer span, label, value."""


class Methods(Protocol):
    """One task under one recipe's settings."""

    kind: str
    words: Words
    head: Head
    """The student's; the teacher's is the Hugging Face model of the same name."""
    labels: int
    """Width of a classification head."""
    max_length: int
    outputs: tuple[str, ...]
    """Names of what a program gives, in order."""
    extents: tuple[Extent, ...]
    """Of each output: a value a token, or values of the whole window."""
    metrics: tuple[str, ...]
    """Names of what `score` gives, in the order they are reported."""
    primary: str
    """The one of them that tolerances and plots are about."""
    is_mean: bool
    """Whether that is a mean over examples."""
    agreement: str
    """What the share of equal answers is called among verification's metrics."""

    def shaping(self) -> dict[str, Any]:
        """What of the settings shapes windows and losses, as JSON values: it counts in a training's key."""

    def examples(self, entry: Questions) -> ExampleSet[Any]:
        """The recipe's data set, not yet read."""

    def windows(self, example: Any, tokenizer: PreTrainedTokenizerBase) -> list[Any]:
        """All windows of one example. Raises DataError for one that has none."""

    def hard(self, logits: Tensors, batch: Batch) -> Tensors:
        """Loss against the gold, a scalar for every output; a stage takes their mean."""

    def soft(self, logits: Tensors, targets: Tensors, batch: Batch, temperature: float) -> Tensors:
        """Loss against the teacher's logits, likewise."""

    def decoder(self, examples: Sequence[Any]) -> Decoder:
        """Reads answers off logits; `examples` are all that are asked, for what follows from the whole set."""

    def agree(self, one: Any, other: Any) -> bool:
        """Whether two answers to one example are the same."""

    def written(self, answer: Any) -> str | float:
        """The answer as predictions files hold it."""

    def score(self, examples: Sequence[Any], predictions: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of written answers by example id, in percent."""

    def case(self, example: Any, windows: Sequence[Any], answer: Any) -> dict[str, Any]:
        """A golden case without ids and logits: id, text, `windows` (a dict each), `answer`."""

    def example_of(self, case: Mapping[str, Any]) -> Any:
        """The example that a golden case was made of."""

    def shown(self, answer: Mapping[str, Any]) -> tuple[Any, str]:
        """Of a golden case's answer: what must come out again to the letter, and how to name it."""


def run_window(model: Answerer, window: Any) -> Logits:
    """What the model gives for one window: start and end logits (seq,) each, or logits (labels,)."""
    ids = window.ids[None]
    return tuple(output[0] for output in model(ids, np.ones_like(ids)))


def answer_all(
    methods: Methods,
    examples: Sequence[Any],
    model: Answerer,
    tokenizer: PreTrainedTokenizerBase,
    step: Callable[[int], None] = lambda done: None,
) -> dict[str, str | float]:
    """{example id: written answer}. Calls `step` after each example."""
    decode = methods.decoder(examples)
    predictions = {}
    for done, example in enumerate(examples, start=1):
        parts = methods.windows(example, tokenizer)
        answer = decode(example, parts, [run_window(model, part) for part in parts])
        predictions[example.id] = methods.written(answer)
        step(done)
    return predictions
