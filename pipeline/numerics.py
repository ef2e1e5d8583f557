"""Arithmetic on weights and logits: the int8 grid, and how far two sets of logits are apart."""

from __future__ import annotations

import numpy as np
import torch

INT8_MAX = 127


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric int8 along the first axis: (rows, …) → int8 (rows, …), float32 scale (rows, 1…).

    scale = max|row| / 127 rounded up to an 11-bit mantissa, value = round(w / scale), nearest even; a row
    of zeros has scale 1. The short mantissa makes value · scale exact in float32 and the scale exact in
    float16, so every runtime that quantizes the product again finds the same integers and scales.
    """
    flat = weight.detach().float().reshape(weight.shape[0], -1)
    peak = flat.abs().amax(dim=1)
    exact = torch.where(peak > 0, peak / INT8_MAX, torch.ones_like(peak))
    scale = ((exact.view(torch.int32) + 0x1FFF) & ~0x1FFF).view(torch.float32)
    scale = scale.reshape(-1, *[1] * (weight.dim() - 1))
    values = torch.clamp(torch.round(weight.detach().float() / scale), -INT8_MAX, INT8_MAX)
    return values.to(torch.int8), scale


def on_grid(weight: torch.Tensor) -> torch.Tensor:
    """The nearest tensor that `quantize_rows` represents exactly; applying it twice changes nothing."""
    values, scale = quantize_rows(weight)
    return values.float() * scale


def stored(weight: torch.Tensor, storage: str) -> torch.Tensor:
    """A matrix as `storage` (float32, float16 or int8) represents it, in float32."""
    if storage == "int8":
        return on_grid(weight)
    return weight.half().float() if storage == "float16" else weight


def round_to_storage(model: torch.nn.Module, storage: str) -> None:
    """Rounds every matrix to the grid it will be stored on, so that what is measured is what is kept."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.copy_(stored(parameter, storage))


def sqnr_db(reference: np.ndarray, other: np.ndarray) -> float:
    """Signal to quantization noise, 10 · log10(Σ reference² / Σ (reference − other)²), in float64.

    Infinite where both are the same; −inf where `other` is not finite.
    """
    wanted, got = reference.astype(np.float64), other.astype(np.float64)
    if not np.isfinite(got).all():
        return float("-inf")
    noise = float(((wanted - got) ** 2).sum())
    signal = float((wanted**2).sum())
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal > 0 else float("-inf")
