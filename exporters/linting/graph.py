"""A program of any format as one record, which is what the rules look at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from exporters.base import INPUTS, padded
from pipeline.types import UsageError

Role = Literal["product", "lookup", "arithmetic", "move", "shape"]
"""product: linear, matmul, convolution; lookup: rows of a table by number; move: values stay as they are;
shape: gives the shape of what goes in, and no value of it."""
Windows = Sequence[tuple[np.ndarray, np.ndarray]]
"""input_ids and attention_mask, int32 (1, seq) each."""


@dataclass(frozen=True, slots=True)
class Size:
    """One dimension: from `shortest` to `longest`, or without a bound."""

    shortest: int
    longest: int | None

    @property
    def dynamic(self) -> bool:
        """Whether it can differ from call to call."""
        return self.longest is None or self.longest > self.shortest


def fixed(shape: Sequence[int]) -> tuple[Size, ...]:
    """A shape without any freedom."""
    return tuple(Size(int(size), int(size)) for size in shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An input or output. `name` is empty in formats that have no names."""

    name: str
    dtype: str
    shape: tuple[Size, ...] = ()
    key: str = ""
    """What operations call it, where that is not its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What can be called: a function, signature or method, with inputs and outputs in their positions."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def longest(self) -> float:
        """The longest window that the first input takes; 0 where it is no window."""
        last = self.inputs[0].shape[-1:] if self.inputs else ()
        return max((math.inf if size.longest is None else size.longest for size in last), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """Numbers that the program carries. `storage` says where: two constants at one place are stored once."""

    name: str
    dtype: str
    array: np.ndarray
    storage: str
    size_bytes: int

    def digest(self) -> str:
        """SHA-256 of the numbers, by which copies are recognised."""
        return hashlib.sha256(np.ascontiguousarray(self.array).data).hexdigest()

    @property
    def is_float(self) -> bool:
        """Whether the numbers are stored in a floating-point type."""
        return self.dtype.startswith(("float", "bfloat"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `flops` counts a multiplication and an addition as two, at the longest length."""

    name: str
    kind: str
    role: Role
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    flops: float = 0.0
    delegated: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A whole program."""

    target: str
    path: Path
    entries: tuple[Entry, ...]
    operations: tuple[Operation, ...]
    constants: Mapping[str, Constant]
    types: Mapping[str, str]
    """Type of every value that an operation computes."""
    metadata: Mapping[str, str]
    delegate: str | None = None
    """Where the format hands work to a delegate: its name."""
    opaque: tuple[str, ...] = ()
    """Operations that stand for a delegate's partition of unknown content."""
    trace_bytes: int = 0
    """Room for a trace of every value of one call, where the format has traces."""
    flaws: Sequence[tuple[str, str]] = field(default=())
    """What only the format's reader can see of unsupported shapes: where, and what is wrong."""

    @cached_property
    def producers(self) -> Mapping[str, Operation]:
        """Value → the operation that computes it."""
        return {name: operation for operation in self.operations for name in operation.outputs}

    def inputs(self) -> tuple[str, ...]:
        """Names of the first entry's inputs, in their positions."""
        return tuple(value.name for value in self.entries[0].inputs)

    @property
    def widest(self) -> Entry:
        """The entry that takes the longest windows, the first of equal ones."""
        return max(self.entries, key=lambda entry: entry.longest)

    def feeds(self, windows: Windows) -> Iterator[list[np.ndarray]]:
        """Every window as the widest entry takes it: its inputs in their positions, padded to its length.

        Raises UsageError when it takes something else than windows of ids.
        """
        values = self.widest.inputs
        if len(values) != len(INPUTS) or any(value.name not in ("", *INPUTS) for value in values):
            raise UsageError(f"its inputs are {', '.join(self.inputs())}, not {' and '.join(INPUTS)}")
        last = values[0].shape[-1]
        for window in windows:
            longest = last.longest or max(last.shortest, window[0].shape[1])
            lengths = tuple(range(last.shortest, longest + 1))
            named = dict(zip(INPUTS, padded(*window, lengths), strict=True))
            yield [
                named[value.name or name].astype(value.dtype)
                for value, name in zip(values, INPUTS, strict=True)
            ]

    def source(self, name: str) -> Constant | None:
        """The constant whose numbers a value has, moved or as they are; None for what is computed."""
        while name not in self.constants:
            operation = self.producers.get(name)
            if operation is None or operation.role != "move" or not operation.inputs:
                return None
            name = operation.inputs[0]
        return self.constants[name]

    def depends_on_ids(self, name: str) -> bool:
        """Whether a value follows from what goes in, and not from its shape alone."""
        given = {value.key or value.name for entry in self.entries for value in entry.inputs}
        waiting, seen = [name], set()
        while waiting:
            value = waiting.pop()
            if value in given:
                return True
            operation = self.producers.get(value)
            if value in seen or operation is None or operation.role == "shape":
                continue
            seen.add(value)
            waiting.extend(operation.inputs)
        return False

    def position_table(self) -> Constant | None:
        """The table whose rows are looked up by place, not by id: it limits how long a window can be."""
        for operation in self.operations:
            if operation.role == "lookup":
                table, where = self.table(operation), operation.inputs[-1]
                if table is not None and is_matrix(table) and not self.depends_on_ids(where):
                    return table
        return None

    def table(self, operation: Operation) -> Constant | None:
        """The stored table of a lookup, int8 or float; its readers put the table first, the ids last."""
        return self.source(operation.inputs[0])

    def matrices(self) -> Iterator[tuple[Operation, Constant]]:
        """Every float matrix that a product multiplies with or a lookup reads, with the operation."""
        for operation in self.operations:
            if operation.role not in ("product", "lookup"):
                continue
            names = operation.inputs[:1] if operation.role == "lookup" else operation.inputs
            for name in names:
                constant = self.source(name)
                if constant is not None and constant.is_float and is_matrix(constant):
                    yield operation, constant


def is_matrix(constant: Constant) -> bool:
    """Whether it has at least two rows and two columns."""
    return len([size for size in constant.array.shape if size > 1]) >= 2


def peak(array: np.ndarray) -> float:
    """Largest magnitude; infinite for NaN."""
    if not array.size:
        return 0.0
    largest = float(np.abs(array.astype(np.float64)).max())
    return math.inf if math.isnan(largest) else largest
