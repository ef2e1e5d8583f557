"""The low-precision wrapper, and the loss of a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering

from pipeline.recipe import Teach as Settings
from pipeline.schedule import Schedule
from pipeline.tasks.dataset import Windows, collate
from pipeline.tasks.question_answering import Window
from pipeline.training import Feed, LowPrecision, train
from pipeline.types import PipelineError, Silent


def window(length: int, start: int, end: int) -> Window:
    ids = np.arange(100, 100 + length, dtype=np.int32)
    types = (np.arange(length) >= 2).astype(np.int8)
    return Window(ids, types, np.zeros((length, 2), np.int32), start, end)


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


def feed(count: int, settings: Settings) -> Feed:
    """So many windows of 8 tokens."""
    batches = Schedule([8] * count, settings.tokens_per_batch, settings.epochs, 0)
    return Feed(examples=Windows([window(8, 1, 2)] * count), batches=batches, collate=collate)


class Constant(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self) -> torch.Tensor:
        return self.weight


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(value: float, tmp_path: Path) -> None:
    settings = Settings(epochs=40, tokens_per_batch=64)
    with pytest.raises(
        PipelineError,
        match=r"training loss is (nan|inf) at step 1, .* examples \d.* none yet; lower learning_rate",
    ):
        train(
            Constant(),
            lambda model, batch: model().sum() * value,
            feed(8, settings),
            settings,
            seed=0,
            work=tmp_path,
            progress=Silent(),
        )


def test_accumulated_batches_are_averaged(tmp_path: Path) -> None:
    seen: list[float] = []
    for accumulate in (1, 4):
        settings = Settings(epochs=1, tokens_per_batch=64, accumulate=accumulate)
        metrics = train(
            Constant(),
            lambda model, batch: model().sum() * 0 + 3.0,
            feed(64, settings),
            settings,
            seed=0,
            work=tmp_path / str(accumulate),
            progress=Silent(),
        )
        assert metrics["steps"] == 8 / accumulate
        seen.append(metrics["final_loss"])
    assert seen == [3.0, 3.0]
