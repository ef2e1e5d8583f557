"""The benchmarks of the DistilBERT paper by name: SQuAD, GLUE's tasks, IMDb; and its pass over STS-B, timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from device_bench.protocol import Plan, measure
from device_bench.stats import Ratio, median, paired_ratio
from pipeline.recipe import AnyTask, Classification, Questions, Regression, Task
from pipeline.tasks import sentences
from pipeline.tasks.base import Methods
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.glue import BENCHMARKS
from pipeline.tasks.methods import methods_of
from pipeline.types import Answerer, UsageError

SQUAD, IMDB = "squad", sentences.IMDB
HUB = {SQUAD: "rajpurkar/squad", IMDB: IMDB}
LENGTHS = {SQUAD: 384, IMDB: 512}
"""Longest windows of a checkpoint; of GLUE's tasks 128. A bundle brings its own."""
WARMUP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One model's time over the whole set, batch 1, and one sample an example."""

    seconds: float
    median_ms: float
    samples_ns: tuple[int, ...]


def task_of(name: str) -> AnyTask:
    """A benchmark's task, for a checkpoint."""
    if name == SQUAD:
        return Task(max_length=LENGTHS[SQUAD])
    if name == IMDB:
        return Classification(
            kind="text-classification", max_length=LENGTHS[IMDB], labels=("negative", "positive")
        )
    known = BENCHMARKS[name]
    if not known.labels:
        return Regression(kind="regression", metrics=cast(Any, known.metrics))
    return Classification(kind="text-classification", labels=known.labels, metrics=cast(Any, known.metrics))


def fitted(name: str, brought: AnyTask) -> AnyTask:
    """A bundle's own task, scored as the benchmark says.

    Raises UsageError for a bundle of another kind of task, or with another number of labels.
    """
    wanted = task_of(name)
    if brought.kind != wanted.kind:
        raise UsageError(f"the model is for {brought.kind}, but {name} is {wanted.kind}; give another --task")
    if isinstance(brought, Classification) and isinstance(wanted, Classification):
        if len(brought.labels) != len(wanted.labels):
            raise UsageError(f"the model knows {len(brought.labels)} labels, {name} has {len(wanted.labels)}")
        return wanted.model_copy(update={"max_length": brought.max_length})
    if isinstance(brought, Regression):
        return wanted.model_copy(update={"max_length": brought.max_length})
    return brought


def held_out(name: str, methods: Methods, data: str | None, limit: int | None) -> ExampleSet[Any]:
    """The benchmark's development set (IMDb's test set): a path, or the hub's."""
    source = data or HUB.get(name) or f"glue/{BENCHMARKS[name].name}"
    return methods.examples(Questions(source=source, split="validation", limit=limit))


def passes(
    models: Mapping[str, Answerer],
    windows: Sequence[Any],
    threads: int,
    step: Callable[[int], None] = lambda done: None,
) -> dict[str, Pass]:
    """Every model over all windows, batch 1 and unpadded, taking turns at each window.

    So a machine that slows down slows all of them. Table 3 of Sanh et al. 2019 reports such a pass over the
    development set of STS-B on a CPU.
    """
    inputs = [(window.ids[None], np.ones_like(window.ids)[None]) for window in windows]
    warmup = inputs[:WARMUP]

    def taking_turns(model: Answerer) -> Callable[[], object]:
        following = iter([*warmup, *inputs])
        return lambda: model(*next(following))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        taken = measure(
            {name: taking_turns(model) for name, model in models.items()},
            Plan(warmup=len(warmup), runs=len(inputs)),
            step=lambda done: step(max(0, done - len(warmup))),
        )
    finally:
        torch.set_num_threads(before)
    return {
        name: Pass(seconds=sum(samples) / 1e9, median_ms=median(samples) / 1e6, samples_ns=samples)
        for name, samples in taken.items()
    }


def ratio(slow: Pass, fast: Pass) -> Ratio:
    """How many times faster, window by window."""
    return paired_ratio(slow.samples_ns, fast.samples_ns)


def methods_for(name: str, brought: AnyTask | None) -> Methods:
    """How the benchmark is done with a bundle's task, or with a checkpoint that brings none."""
    return methods_of(fitted(name, brought) if brought else task_of(name))
