"""Dynamic int8 activations in torch, against torch's own quantized tensors and a statement by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.models.dynamic import DynamicLinear, quantized_alike, rounded
from pipeline.types import Quantization, TensorPlan


def test_each_row_is_rounded_to_its_own_grid() -> None:
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * torch.tensor([[1.0], [100.0], [0.01]])
    for row, found in zip(x, rounded(x, per_row=True), strict=True):
        step = (max(row.max().item(), 0) - min(row.min().item(), 0)) / 255
        assert (row - found).abs().max() <= 0.5001 * step
        whole = found / step
        assert (whole - whole.round()).abs().max() < 1e-3
        assert len(found.unique()) <= 256


@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.7, 5.0])
def test_the_grid_is_torchs_own(shift: float) -> None:
    """torch.quantize_per_tensor with the range's scale and zero point, 0 always being in the range."""
    x = torch.randn(1, 200, generator=torch.Generator().manual_seed(2)) + shift
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    scale = (high - low) / 255
    zero = round(-128 - low / scale)
    wanted = torch.quantize_per_tensor(x, scale, max(-128, min(127, zero)), torch.qint8).dequantize()
    assert (rounded(x, per_row=True) - wanted).abs().max() <= 1.001 * scale * (abs(shift) > 0) + 1e-5
    assert torch.equal(rounded(x, per_row=True), rounded(x, per_row=False))


def test_rows_share_a_grid_only_when_asked() -> None:
    x = torch.tensor([[100.0, -100.0], [0.1, -0.1]])
    assert rounded(x, per_row=True)[1].abs().min() > 0.09
    assert rounded(x, per_row=False)[1].abs().max() < 0.5
    assert torch.equal(rounded(torch.zeros(2, 4), per_row=True), torch.zeros(2, 4))


def test_only_the_linears_of_the_plan_change_and_the_student_does_not() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    student = nn.Sequential(first, second).eval()
    dynamic = TensorPlan(role="linear", dtype="int8", activations="dynamic-int8")
    plan = Quantization(tensors={"0.weight": dynamic, "1.weight": TensorPlan(role="linear", dtype="float32")})
    twin = quantized_alike(student, plan, "int8-row")
    assert isinstance(twin.get_submodule("0"), DynamicLinear)
    assert isinstance(twin.get_submodule("1"), nn.Linear)
    assert not any(isinstance(module, DynamicLinear) for module in student.modules())
    x = torch.randn(5, 8)
    wanted = second(nn.functional.linear(rounded(x, True), first.weight, first.bias))
    assert torch.equal(twin(x), wanted)
    assert torch.equal(quantized_alike(student, plan, "float")(x), student(x))
