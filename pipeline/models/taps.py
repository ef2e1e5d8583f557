"""A student's operations, and the student cut so that it gives what some of them computed.

They are found as torch's Python functions are called, which is the same when the student is run, traced or
exported: a converter sees nothing but a student with another output. What a module without children computes
counts as one operation, since exporters put modules of their own in place of those.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

MOVES = ("dropout", "getitem", "reshape", "to", "transpose", "view")
"""Operations that compute nothing; a converter may drop them, so that they count to the next one."""
ROOT = "student"
"""Under which name a cut student holds the whole one."""

Key = tuple[str, int]
"""Path of the module that computed something, and how manieth of its results it is."""
Each = Callable[[Key, str, torch.Tensor], None]
"""Told of every operation: its key, its name, its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its name, the module that it belongs to, and what its result looks like."""

    key: Key
    name: str
    axes: tuple[int, ...]
    """Of its result, those as long as the window."""
    shape: tuple[int, ...]
    """Of what a tap gives of its result: each of those axes has 2 places, the first token and the mean."""
    needs: frozenset[str]
    """Paths of the modules that its result depends on."""

    def place(self, value: int) -> str:
        """Where in its result a value of the tap is: `[first token, 37]`; without the batch."""
        index = [int(i) for i in np.unravel_index(value, self.shape)]
        named = [
            ("first token", "mean over tokens")[i] if at in self.axes else str(i) for at, i in enumerate(index)
        ]
        return f"[{', '.join(named[0 if 0 in self.axes else 1 :])}]"

    def __str__(self) -> str:
        return f"aten.{self.name} at {self.key[0] or 'the top of the student'}"


class Tapped(nn.Module):
    """input_ids, attention_mask → one row, (1, values): of each operation its values at the first token and
    their mean over the real tokens, in the order that its result has."""

    def __init__(self, student: nn.Module, taps: Sequence[Operation]) -> None:
        super().__init__()
        self.student, self.taps = copy.deepcopy(student).eval(), tuple(taps)
        for path, module in list(self.student.named_modules()):
            if isinstance(module, nn.Dropout):
                # A copy to the converters; XNNPACK's delegate refuses one between two observed values.
                self.student.set_submodule(path, nn.Identity())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        found: dict[Key, torch.Tensor] = {}
        wanted: Collection[Key] = {tap.key for tap in self.taps}

        def keep(key: Key, name: str, result: torch.Tensor) -> None:
            if key in wanted:
                found[key] = result

        with watched(self.student, keep):
            self.student(input_ids, attention_mask)
        mean = attention_mask.to(torch.float32)
        mean = mean / mean.sum()
        first = (torch.arange(input_ids.shape[1]) < 1).to(torch.float32)[None]
        read_2S = torch.cat([first, mean])
        parts = [_read(found[tap.key], tap.axes, read_2S).reshape(1, -1) for tap in self.taps]
        return (torch.cat(parts, dim=1),)


def _read(result: torch.Tensor, axes: Sequence[int], read_2S: torch.Tensor) -> torch.Tensor:
    """The result with 2 values in place of as many as there are tokens: the first one's, and the mean."""
    for axis in axes:
        if axis == result.dim() - 1:
            result = result @ read_2S.T
        elif axis == result.dim() - 2:
            result = read_2S @ result
        else:
            result = (read_2S @ result.transpose(axis, -2)).transpose(axis, -2)
    return result


def operations(student: nn.Module) -> list[Operation]:
    """Every operation of the student that gives floats, in the order of execution."""
    one, other = (_called(student, length) for length in (6, 9))
    found = []
    for (key, (name, result, needed)), (_, again, _) in zip(one.items(), other.values(), strict=True):
        axes = tuple(i for i, (a, b) in enumerate(zip(result.shape, again.shape, strict=True)) if a != b)
        shape = tuple(2 if i in axes else size for i, size in enumerate(result.shape))
        found.append(Operation(key=key, name=name, axes=axes, shape=shape, needs=needed))
    return found


def _called(student: nn.Module, length: int) -> dict[Key, tuple[str, torch.Tensor, frozenset[str]]]:
    """Name, result and needed modules of each operation, on a window of this length."""
    found: dict[Key, tuple[str, torch.Tensor, frozenset[str]]] = {}
    depends: dict[int, frozenset[str]] = {}
    seen = []  # kept, so that no other tensor gets the id of one of them

    def note(key: Key, name: str, result: torch.Tensor) -> None:
        found[key] = (name, result, depends[id(result)])

    def trace(path: str, inputs: Sequence[torch.Tensor], result: torch.Tensor) -> None:
        seen.append(result)
        depends[id(result)] = frozenset({path}).union(*(depends.get(id(x), ()) for x in inputs))

    window = torch.zeros(1, length, dtype=torch.int32)
    with torch.inference_mode(), watched(student, note, trace):
        student(window, window + 1)
    return found


@contextmanager
def watched(
    student: nn.Module,
    each: Each,
    trace: Callable[[str, Sequence[torch.Tensor], torch.Tensor], None] | None = None,
) -> Iterator[None]:
    """Tells `each` of all operations that give floats, and `trace` of all calls: module, inputs, result."""
    stack = [""]
    counts: dict[str, int] = {}
    last: dict[str, str] = {}

    def tell(path: str, name: str, result: torch.Tensor) -> None:
        number = counts.get(path, 0)
        counts[path] = number + 1
        each((path, number), name, result)

    def called(func: Any, inputs: Sequence[torch.Tensor], result: torch.Tensor) -> None:
        path, name = stack[-1], func.__name__.strip("_")
        if trace:
            trace(path, inputs, result)
        if name in MOVES:
            return
        if path in leaves:
            last[path] = name
        elif result.is_floating_point():
            tell(path, name, result)

    leaves = {path for path, module in student.named_modules() if not list(module.children())}

    def enter(path: str) -> Callable[..., None]:
        return lambda *given: stack.append(path)

    def leave(path: str) -> Callable[..., None]:
        def left(module: nn.Module, given: Any, result: Any) -> None:
            stack.pop()
            if path in leaves and path in last:
                tell(path, last.pop(path), result)

        return left

    handles = []
    for path, module in student.named_modules():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave(path)))
    try:
        with _Calls(called):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Calls(TorchFunctionMode):
    """Tells of every call that gives a tensor: the function, the tensors that went in, the result."""

    def __init__(self, told: Callable[[Any, Sequence[torch.Tensor], torch.Tensor], None]) -> None:
        super().__init__()
        self.told = told

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            given = pytree.tree_leaves((args, kwargs))
            self.told(func, [x for x in given if isinstance(x, torch.Tensor)], result)
        return result
