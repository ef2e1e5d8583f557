"""Torch modules over int8 rows and their scales, for converters that keep what they are shown."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from exporters.base import int8_rows, int8_weights
from pipeline.types import Student

if TYPE_CHECKING:
    import torch

ROLES = ("embedding", "linear")
"""Of the record's weights, in the order in which they are replaced."""


def int8_table(
    weight: torch.Tensor, as_float: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> torch.nn.Module:
    """An embedding that looks int8 rows up and a scale for each, for runtimes without a quantized lookup.

    `as_float` makes float32 of gathered rows where the runtime wants an operation of its own for it.
    """
    import torch

    class Int8Table(torch.nn.Module):
        rows: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            rows, scale = int8_rows(weight)
            self.register_buffer("rows", rows)
            self.register_buffer("scale", scale)

        def forward(self, places: torch.Tensor) -> torch.Tensor:
            rows = torch.nn.functional.embedding(places, self.rows)
            floats = as_float(rows) if as_float else rows.to(torch.float32)
            return floats * torch.nn.functional.embedding(places, self.scale)

    return Int8Table()


def with_int8_layers(
    student: Student, dense: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """A copy of the student whose int8 weights are rows (out, in) and scales (out, 1), made dense in the graph.

    `dense` multiplies them by the operation that a converter stores as a compressed weight.
    """
    import torch

    class Int8Layer(torch.nn.Module):
        rows: torch.Tensor
        scale: torch.Tensor

        def __init__(self, layer: torch.nn.Module, weight: torch.Tensor) -> None:
            super().__init__()
            rows, scale = int8_rows(weight)
            self.register_buffer("rows", rows)
            self.register_buffer("scale", scale)
            self.is_linear = isinstance(layer, torch.nn.Linear)
            self.bias = layer.bias if isinstance(layer, torch.nn.Linear) else None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = dense(self.rows, self.scale)
            if self.is_linear:
                return torch.nn.functional.linear(x, weight, self.bias)
            return torch.nn.functional.embedding(x, weight)

    module = copy.deepcopy(student.module).eval()
    for role in ROLES:
        for path, weight in int8_weights(student, role).items():
            module.set_submodule(path, Int8Layer(module.get_submodule(path), weight))
    return module
