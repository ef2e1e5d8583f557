"""A student's operations, and the student cut so that it gives what some of them computed.

Operations are counted as torch's Python functions are called, which is the same when the student is run, traced
or exported: so a converter sees nothing but a student with another output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from pipeline.models.dynamic import rounded

IDLE = ("dropout",)
"""Operations that leave their input as it is outside of training."""
ROOT = "student"
"""Under which name a cut student holds the whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call: its name, the path of the module that made it, and what its result looks like."""

    name: str
    module: str
    axes: tuple[int, ...]
    """Of its result, those as long as the window."""
    shape: tuple[int, ...]
    """Of its result, without those axes and the batch: what it holds of one token."""
    needs: frozenset[str]
    """Paths of the modules that its result depends on."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values a tap of it gives: at the first token, and of the mean where it has tokens."""
        return (math.prod(self.shape),) * (2 if self.axes else 1)

    def __str__(self) -> str:
        return f"aten.{self.name} at {self.module or 'the top of the student'}"


class Watch(TorchFunctionMode):
    """Calls `each` with the function, its inputs and its result, for every operation that gives floats."""

    def __init__(self, each: Callable[[Any, list[Any], torch.Tensor], None]) -> None:
        super().__init__()
        self.each = each

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        counts = func is not rounded and isinstance(result, torch.Tensor)
        if counts and result.is_floating_point() and func.__name__ not in IDLE:
            self.each(func, [x for x in pytree.tree_leaves((args, kwargs)) if torch.is_tensor(x)], result)
        return result


class Tapped(nn.Module):
    """input_ids, attention_mask → one row, (1, values): of each operation its values at the first token, then
    their mean over the real tokens."""

    def __init__(self, student: nn.Module, taps: Mapping[int, Operation]) -> None:
        super().__init__()
        self.student, self.taps = student, dict(taps)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        results = watched(self.student, input_ids, attention_mask, self.taps)
        weights = attention_mask.to(torch.float32)[0]
        weights = weights / weights.sum()
        rows = [_row(results[place], tap.axes, weights) for place, tap in self.taps.items()]
        return (torch.cat([part for row in rows for part in row]).reshape(1, -1),)


def _row(result: torch.Tensor, axes: Sequence[int], weights_S: torch.Tensor) -> Iterator[torch.Tensor]:
    first, mean = result, result
    for axis in reversed(axes):
        first = first.select(axis, 0)
        shape = [-1 if place == axis else 1 for place in range(mean.dim())]
        mean = (mean * weights_S.reshape(shape)).sum(dim=axis, keepdim=True)
    yield first.reshape(-1)
    if axes:
        yield mean.reshape(-1)


def watched(
    student: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor, wanted: Collection[int]
) -> dict[int, torch.Tensor]:
    """Results of these operations, by their place in the order of execution."""
    found: dict[int, torch.Tensor] = {}
    count = 0

    def keep(func: Any, inputs: list[Any], result: torch.Tensor) -> None:
        nonlocal count
        if count in wanted:
            found[count] = result
        count += 1

    with Watch(keep):
        student(input_ids, attention_mask)
    return found


def operations(student: nn.Module) -> list[Operation]:
    """Every operation of the student, in the order of execution."""
    (names, shapes, needs), (_, other, _) = (_call(student, length) for length in (6, 9))
    found = []
    for (name, module), one, two, needed in zip(names, shapes, other, needs, strict=True):
        axes = tuple(place for place, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
        kept = [size for place, size in enumerate(one) if place not in axes]
        shape = tuple(kept[1:]) if len(one) > len(axes) and 0 not in axes else tuple(kept)
        found.append(Operation(name=name, module=module, axes=axes, shape=shape, needs=needed))
    return found


def _call(
    student: nn.Module, length: int
) -> tuple[list[tuple[str, str]], list[torch.Size], list[frozenset[str]]]:
    """Name and module, shape, and needed modules of each operation on a window of this length."""
    names: list[tuple[str, str]] = []
    results: list[torch.Tensor] = []
    needs: dict[int, frozenset[str]] = {}
    window = torch.zeros(1, length, dtype=torch.int32)
    with torch.inference_mode(), _paths(student) as inside:

        def note(func: Any, inputs: list[Any], result: torch.Tensor) -> None:
            before = (needs.get(id(x), frozenset()) for x in inputs)
            names.append((func.__name__.strip("_"), inside[-1]))
            results.append(result)  # kept, so that no other tensor gets its id
            needs[id(result)] = frozenset({inside[-1]}).union(*before)

        with Watch(note):
            student(window, window + 1)
    return names, [result.shape for result in results], [needs[id(result)] for result in results]


@contextmanager
def _paths(student: nn.Module) -> Iterator[list[str]]:
    """A stack of the paths of the modules that are being called."""
    stack = [""]

    def enter(path: str) -> Callable[..., None]:
        return lambda *given: stack.append(path)

    def leave(*given: Any) -> None:
        stack.pop()

    handles = []
    for path, module in student.named_modules():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave))
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()
