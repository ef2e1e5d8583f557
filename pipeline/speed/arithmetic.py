"""What a step computes, and what this machine could compute: FLOPs by formula, the matmul rate by measurement.

FLOPs are those of matrix products alone, a multiplication and an addition counting 2. An encoder's layer does
2 · (4 · E² + 2 · E · N) a token in its linears and 4 · S · E a token in attention (E hidden size, N neurons, S
the sequence's own length); a head over the vocabulary 2 · (E² + E · V). Training a model is 3 times its forward
pass (Kaplan et al. 2020, section 2.1); a teacher is only run forward.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

TRAINING = 3
"""Forward passes that one forward and backward pass amount to."""
SIZE, SIZE_CUDA = 1536, 8192
"""Rows and columns of the matrices whose product is timed."""
PEAK_SECONDS = 1.0
LINEAR = (384, 768, 3072)
"""Rows, inputs and outputs of the linear whose int8 rate is timed in a runtime: DistilBERT's largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model as far as its FLOPs go. `vocabulary` is 0 where it does not score words; `labels` 2 for spans."""

    layers: int
    hidden: int
    neurons: int
    vocabulary: int = 0
    labels: int = 0


def forward_flops(shape: Shape, length: int, scored: float | None = None) -> float:
    """FLOPs of a forward pass over one sequence of `length` tokens, `scored` of them by the vocabulary head."""
    linears = 2 * (4 * shape.hidden**2 + 2 * shape.hidden * shape.neurons)
    layers = shape.layers * length * (linears + 4 * length * shape.hidden)
    words = length if scored is None else scored
    head = words * 2 * (shape.hidden**2 + shape.hidden * shape.vocabulary) if shape.vocabulary else 0
    return float(layers + head + length * 2 * shape.hidden * shape.labels)


def flops_per_token(teacher: Shape | None, student: Shape, lengths: Sequence[int]) -> float:
    """FLOPs of distillation, per token of real text, over sequences of these lengths."""
    total = 0.0
    for length in lengths:
        total += TRAINING * forward_flops(student, length)
        total += forward_flops(teacher, length) if teacher else 0.0
    return total / sum(lengths)


def matmul_rate(dtype: torch.dtype, device: torch.device) -> float:
    """The best FLOP/s of a large square matrix product here, over about a second."""
    size = SIZE_CUDA if device.type == "cuda" else SIZE
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        synchronize(device)

    return best_rate(product, 2.0 * size**3)


def int8_rate() -> float:
    """The best OP/s of torch's int8 matrix product (oneDNN) on the CPU, over about a second."""
    rows, wide, outputs = LINEAR
    a, b = (torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((rows, wide), (wide, outputs)))
    return best_rate(lambda: torch._int_mm(a, b), linear_flops())


def linear_flops() -> float:
    """FLOPs of LINEAR."""
    rows, wide, outputs = LINEAR
    return 2.0 * rows * wide * outputs


def best_rate(call: Callable[[], object], flops: float) -> float:
    """FLOP/s of the fastest of the calls that fit into about a second; a first one is not counted."""
    call()
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < PEAK_SECONDS:
        start = time.perf_counter()
        call()
        best = max(best, flops / (time.perf_counter() - start))
    return best


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
