"""Gradient checkpointing changes the memory that is needed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertForQuestionAnswering, DistilBertForQuestionAnswering

from pipeline.models import inherit, recompute
from pipeline.models.student import Layer, StudentModel
from pipeline.models.teacher import set_dropout
from pipeline.training import LowPrecision


def gradients(model: torch.nn.Module, precision: torch.dtype) -> dict[str, torch.Tensor]:
    """Of the sum of squares of all outputs, with dropout, from the same random state."""
    set_dropout(model.train(), 0.2)
    model.zero_grad()
    torch.manual_seed(5)
    ids = torch.randint(5, 60, (3, 12))
    result = LowPrecision(model, precision)(ids, torch.ones_like(ids))
    outputs = result if isinstance(result, tuple) else (result.start_logits, result.end_logits)
    loss = sum((output.float().square().sum() for output in outputs), torch.zeros(()))
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "student"])
def test_gradients_are_the_same_bit_for_bit(
    kind: str, precision: torch.dtype, bert_qa_folder: Path, distilbert_qa_folder: Path
) -> None:
    model: torch.nn.Module
    if kind == "distilbert":
        model = DistilBertForQuestionAnswering.from_pretrained(distilbert_qa_folder)
    else:
        model = BertForQuestionAnswering.from_pretrained(bert_qa_folder)
    if kind == "student":
        model = inherit.from_teacher(model)
    plain = gradients(model, precision)
    recompute.enable(model)
    again = gradients(model, precision)
    assert len(plain) > 20
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_every_layer_runs_twice_in_training_and_once_otherwise(bert_qa_folder: Path) -> None:
    model = inherit.from_teacher(BertForQuestionAnswering.from_pretrained(bert_qa_folder))
    assert isinstance(model, StudentModel)
    runs: list[int] = []
    for layer in model.layers:
        assert isinstance(layer, Layer)
        layer.feed_forward.register_forward_hook(lambda *given: runs.append(1))
    recompute.enable(model)
    gradients(model, torch.float32)
    assert len(runs) == 2 * len(model.layers)
    runs.clear()
    with torch.no_grad():
        model.eval()(torch.ones((1, 4), dtype=torch.long), torch.ones((1, 4), dtype=torch.long))
    assert len(runs) == len(model.layers)
