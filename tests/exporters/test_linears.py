"""A stack of linears goes through every exporter as a student does, in either precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from exporters import base
from pipeline.models import compressed
from pipeline.models.linears import Linears, LinearsConfig
from pipeline.numerics import on_grid, sqnr_db
from pipeline.recipe import Quantize
from pipeline.types import Quantization, Student

LENGTH, VOCABULARY = 32, 200
MIN_SQNR_DB = {"int8": 25.0, "float32": 50.0}
"""Inputs of int8 linears are rounded in each call, and Core ML computes in float16."""


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("target", ["tflite", "executorch", "coreml", "onnx"])
def test_every_target_takes_it(target: str, precision: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = Linears(LinearsConfig(vocabulary=VOCABULARY, hidden=32, neurons=64, pairs=2)).eval()
    record = compressed.plan(model, Quantize()) if precision == "int8" else Quantization()
    with torch.no_grad():
        for name in record.tensors:
            model.get_parameter(name).copy_(on_grid(model.get_parameter(name)))
    student = Student(
        name="linears", module=model, quantization=record, max_length=LENGTH, lengths=(16, LENGTH)
    )
    exporter = base.get(target)
    runner = exporter.runner(exporter.lower(student, tmp_path).path)
    for length in (9, 16, LENGTH):
        ids = np.random.default_rng(length).integers(0, VOCABULARY, (1, length)).astype(np.int32)
        mask = np.ones_like(ids)
        mask[0, 7:] = 0
        with torch.inference_mode():
            wanted = model(torch.from_numpy(ids), torch.from_numpy(mask))
        for logits, expected in zip(runner(ids, mask), wanted, strict=True):
            assert logits.shape == (1, length)
            assert (logits[0, 7:] < -9000).all(), "the mask is an input like any other"
            assert sqnr_db(expected.numpy()[:, :7], logits[:, :7]) > MIN_SQNR_DB[precision]


def test_values_keep_their_size_down_the_stack() -> None:
    """Else a deep one would compute with subnormal numbers, which are slow, or overflow float16."""
    torch.manual_seed(6)
    model = Linears(LinearsConfig(vocabulary=50, hidden=96, neurons=384, pairs=8)).eval()
    x = model.word(torch.arange(40))
    for linear in model.stack:
        x = torch.relu(linear(x))
        assert 0.2 < float(x.square().mean().sqrt()) < 5
