"""Multiply-adds by formula against PyTorch's count of the products that a forward pass really makes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models import student
from pipeline.models.linears import Linears, LinearsConfig
from pipeline.models.products import multiply_adds
from pipeline.models.student import LayerShape, StudentConfig

WHOLE = StudentConfig(
    vocabulary=50,
    positions=64,
    hidden=24,
    head_size=8,
    layers=(LayerShape(heads=3, neurons=96), LayerShape(heads=3, neurons=96)),
)
PRUNED = replace(WHOLE, layers=(LayerShape(heads=1, neurons=40), LayerShape(heads=2, neurons=17)))
CLASSIFIER = replace(PRUNED, head="text-classification", labels=3)
STACK = LinearsConfig(vocabulary=50, hidden=24, neurons=96, pairs=3)


def counted(model: torch.nn.Module, length: int) -> int:
    """Half of the FLOPs of mm, addmm and bmm; the counter takes an addition for one of its own."""
    ids = torch.ones(1, length, dtype=torch.int32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids, torch.ones_like(ids))
    flops = int(counter.get_total_flops())
    assert flops > 0
    assert flops % 2 == 0
    return flops // 2


@pytest.mark.parametrize("length", [1, 7, 64])
@pytest.mark.parametrize(
    "config",
    [
        WHOLE,
        PRUNED,
        CLASSIFIER,
        replace(CLASSIFIER, labels=1, pooler="tanh"),
        replace(WHOLE, separator=3),
        replace(WHOLE, layers=()),
    ],
    ids=["whole", "pruned", "classifier", "regression with a pooler", "token types", "no layers"],
)
def test_a_students_products(config: StudentConfig, length: int) -> None:
    model = student.build(config).eval()
    assert multiply_adds(model).of(length) == counted(model, length)


@pytest.mark.parametrize("length", [1, 7, 64])
def test_a_stack_of_linears(length: int) -> None:
    model = Linears(STACK).eval()
    assert multiply_adds(model).of(length) == counted(model, length)


def test_what_is_no_program_has_no_figure() -> None:
    with pytest.raises(ValueError, match="a student with the head none is no program"):
        multiply_adds(student.build(replace(WHOLE, head="none")))
