"""The batch schedule, collating, the low-precision wrapper, and the loss of a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering

from pipeline.recipe import Teach as Settings
from pipeline.tasks.question_answering import Window
from pipeline.training import LowPrecision, Schedule, Windows, collate, train
from pipeline.types import PipelineError, Silent


def lengths(count: int, seed: int = 0) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).integers(20, 385, size=count)]


@pytest.mark.parametrize("count", [1, 2, 37, 3000])
def test_every_epoch_holds_every_window_once(count: int) -> None:
    sizes = lengths(count)
    one = Schedule(sizes, 2048, 1, seed=3).batches
    two = Schedule(sizes, 2048, 2, seed=3).batches
    assert two[: len(one)] == one
    for epoch in (one, two[len(one) :]):
        assert sorted(i for batch in epoch for i in batch) == list(range(count))
    if count > 2:
        assert two[len(one) :] != one


@pytest.mark.parametrize("tokens", [64, 384, 1000, 6144])
def test_no_padded_batch_exceeds_the_tokens_unless_it_is_one_window(tokens: int) -> None:
    sizes = lengths(500)
    batches = Schedule(sizes, tokens, 1, seed=0).batches
    padded = [max(sizes[i] for i in batch) * len(batch) for batch in batches]
    assert all(size <= tokens or len(batch) == 1 for size, batch in zip(padded, batches, strict=True))
    if tokens == 6144:
        # Grouping by length leaves little padding, and batches are well filled.
        assert sum(padded) < 1.15 * sum(sizes)
        assert sum(padded) > 0.7 * tokens * len(batches)


@pytest.mark.parametrize("epochs", [0.25, 0.5, 1.0, 1.2, 2.5])
def test_a_part_of_an_epoch_is_the_beginning_of_it(epochs: float) -> None:
    sizes = lengths(900)
    batches = Schedule(sizes, 1024, epochs, seed=1).batches
    whole = Schedule(sizes, 1024, 3, seed=1).batches
    assert batches == whole[: len(batches)]
    assert len(batches) == pytest.approx(epochs * len(whole) / 3, abs=2)


def test_at_least_one_batch() -> None:
    assert Schedule([100], 64, 0.01, seed=0).batches == [[0]]


def test_batches_are_fixed_by_the_seed_and_not_sorted_by_length() -> None:
    sizes = lengths(2000)
    one, again, other = (Schedule(sizes, 4096, 1, seed) for seed in (1, 1, 2))
    assert one.batches == again.batches == list(one)
    assert one.batches != other.batches
    assert len(one) == len(one.batches)
    means = [np.mean([sizes[i] for i in batch]) for batch in one]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


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


@pytest.fixture
def model(bert_qa_folder: Path) -> BertForQuestionAnswering:
    loaded: BertForQuestionAnswering = BertForQuestionAnswering.from_pretrained(bert_qa_folder)
    assert not loaded.training
    return loaded


def run(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(5, 37).reshape(2, 16)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).start_logits
    return logits


def test_float32_is_passed_through(model: BertForQuestionAnswering) -> None:
    assert torch.equal(run(LowPrecision(model, torch.float32)), run(model))


def test_bfloat16_computes_low_and_learns_in_float32(model: BertForQuestionAnswering) -> None:
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    exact = run(model)
    wanted = torch.autograd.grad(exact.square().sum(), model.qa_outputs.weight)[0]

    wrapped = LowPrecision(model, torch.bfloat16)
    low = run(wrapped)
    assert low.dtype == torch.bfloat16
    # bfloat16 has 8 bits: a few roundings away, yet not the same.
    scale = exact.detach().abs().max()
    assert 0 < float((low.float() - exact).abs().max() / scale) < 0.05
    found = torch.autograd.grad(low.float().square().sum(), list(wrapped.parameters()), allow_unused=True)
    by_name = dict(zip((n for n, _ in wrapped.named_parameters()), found, strict=True))
    head = by_name["inner.qa_outputs.weight"]
    assert head is not None
    assert all(g.dtype == torch.float32 for g in found if g is not None)
    assert float((head - wanted).norm() / wanted.norm()) < 0.1
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter.detach(), before[name])


class Constant(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self) -> torch.Tensor:
        return self.weight


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(value: float, tmp_path: Path) -> None:
    settings = Settings(epochs=40, tokens_per_batch=64)
    with pytest.raises(PipelineError, match=r"training loss is .* at step \d+; lower learning_rate"):
        train(
            Constant(),
            lambda model, batch: model().sum() * value,
            [window(8, 1, 2)] * 8,
            settings,
            seed=0,
            work=tmp_path,
            progress=Silent(),
        )


def test_accumulated_batches_are_averaged(tmp_path: Path) -> None:
    seen: list[float] = []
    for accumulate in (1, 4):
        metrics = train(
            Constant(),
            lambda model, batch: model().sum() * 0 + 3.0,
            [window(8, 1, 2)] * 64,
            Settings(epochs=1, tokens_per_batch=64, accumulate=accumulate),
            seed=0,
            work=tmp_path / str(accumulate),
            progress=Silent(),
        )
        assert metrics["steps"] == 8 / accumulate
        seen.append(metrics["final_loss"])
    assert seen == [3.0, 3.0]
