"""The torch student with the activations that a runtime's kernels compute with: int8, quantized at every call.

XNNPACK's qd8 kernels, behind both ExecuTorch and LiteRT, give every row (token) of a linear's input a scale and
a zero point of its own; ONNX Runtime's DynamicQuantizeLinear gives one to the whole tensor.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.types import Activations, Quantization

LOWEST, HIGHEST = -128, 127


class DynamicLinear(nn.Module):
    """A linear whose input is rounded to int8 first; the weight lies on its int8 grid already."""

    def __init__(self, linear: nn.Linear, activations: Activations) -> None:
        super().__init__()
        self.weight, self.bias, self.per_row = linear.weight, linear.bias, activations == "int8-row"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, inputs) → (…, outputs)."""
        return F.linear(rounded(x, self.per_row), self.weight, self.bias)


def rounded(x: torch.Tensor, per_row: bool) -> torch.Tensor:
    """Asymmetric int8 of a tensor and back, (…, n) → (…, n), with a scale a row or one for all.

    The range always holds 0. The zero point is taken from the end of the range that rounds with less error,
    as in XNNPACK's quantization parameters of qd8 (xnn_f32_qd8_asymmetric_quantization_params).
    """
    rows = x if per_row else x.reshape(1, -1)
    low = rows.amin(dim=-1, keepdim=True).clamp(max=0)
    high = rows.amax(dim=-1, keepdim=True).clamp(min=0)
    span = high - low
    steps = torch.where(span > 0, (HIGHEST - LOWEST) / span, torch.ones_like(span))
    from_low, from_high = LOWEST - low * steps, HIGHEST - high * steps
    nearer_low = (LOWEST + low * steps) + (HIGHEST + high * steps) > 0
    zero = torch.where(nearer_low, from_low, from_high).clamp(LOWEST, HIGHEST).round()
    whole = ((rows * steps).round() + zero).clamp(LOWEST, HIGHEST)
    return ((whole - zero) / steps).reshape(x.shape)


def quantized_alike(module: nn.Module, quantization: Quantization, activations: Activations) -> nn.Module:
    """A copy of the student that rounds the inputs of the linears for which the record says so."""
    twin = copy.deepcopy(module).eval()
    if activations == "float":
        return twin
    for name, plan in quantization.tensors.items():
        if (plan.role, plan.dtype, plan.activations) == ("linear", "int8", "dynamic-int8"):
            path = name.removesuffix(".weight")
            linear = twin.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            twin.set_submodule(path, DynamicLinear(linear, activations))
    return twin
