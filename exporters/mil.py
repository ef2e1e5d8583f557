"""Runs a saved Core ML program on machines without Core ML, op by op, from the package's own bytes.

float16 here means: an operation takes float16 values, computes in float32, sums included, and its result is
rounded to the type that the program declares, float16 for most: to the nearest, to infinity beyond 65504. A
fused operation of the program (layer norm, softmax, gelu, linear) is rounded once, at its end. Hardware that
accumulates high and stores half behaves so. Of its own units Apple promises nothing: the Neural Engine may add
up in float16 and fuse operations, so its results may be further from these than these are from torch.

Evaluation proves graph, weights, scales, shapes and the rounding of every operation; it says nothing of Apple's
runtime, of placement or of time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporters import mil_shapes  # noqa: F401  (its import registers its operations)
from exporters.base import quiet
from exporters.mil_ops import MOVES, OPERATIONS
from exporters.mil_weights import Blobs, Value, constant
from pipeline.types import PipelineError, UsageError

DATA = Path("Data/com.apple.CoreML")
"""Where a package keeps model.mlmodel and weights/."""
_BITS = {"INT8": 8, "INT16": 16, "INT32": 32, "UINT8": 8, "UINT16": 16, "UINT32": 32}


def read_specification(package: Path) -> Any:
    """The Model_pb2.Model of a .mlpackage folder. Raises UsageError when there is none that can be read."""
    path = package / DATA / "model.mlmodel"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{package} is no Core ML package: {path} cannot be read ({error.strerror})") from None
    with quiet():
        from coremltools.proto import Model_pb2
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    specification = Model_pb2.Model()
    try:
        specification.ParseFromString(data)
    except DecodeError:
        raise UsageError(f"{path} is damaged: it cannot be decoded; export the model again") from None
    if "main" not in specification.mlProgram.functions:
        raise UsageError(f"{path} holds no ML program with a function 'main'; export the model again")
    return specification


@dataclass(frozen=True, slots=True)
class Compressed:
    """A weight as the package stores it: the constexpr operation and its inputs, float16 given in float32."""

    operation: str
    inputs: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation: names of the values that go in, names and declared types of those that come out."""

    operation: str
    arguments: Mapping[str, str | tuple[str, ...]]
    outputs: tuple[tuple[str, str], ...]
    finished: tuple[str, ...] = ()
    """Values that nobody needs after it."""

    def names(self) -> Iterator[str]:
        for name in self.arguments.values():
            yield from (name,) if isinstance(name, str) else name

    def run(self, known: dict[str, Value]) -> None:
        """Adds its results to `known`. Raises PipelineError naming operation and place when it cannot."""
        given = {
            key: known[name] if isinstance(name, str) else [known[each] for each in name]
            for key, name in self.arguments.items()
        }
        try:
            made = OPERATIONS[self.operation](**given)
            results = (made,) if isinstance(made, torch.Tensor) else made
            for value, (name, kind) in zip(results, self.outputs, strict=True):
                known[name] = value if self.operation in MOVES else _stored(value, kind)
        except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as error:
            reason = str(error).partition("\n")[0]
            place = self.outputs[0][0]
            raise PipelineError(
                f"operation {self.operation} at {place} cannot be evaluated: {reason}"
            ) from error


def _stored(value: torch.Tensor, kind: str) -> torch.Tensor:
    """A result as the declared type keeps it: float16 rounded, integers cut and wrapped."""
    if kind == "FLOAT16":
        return value.half().float()
    if kind.startswith("FLOAT"):
        return value.float()
    if kind == "BOOL":
        return value.bool()
    whole = value.long()
    if kind not in _BITS:
        return whole
    span = 1 << _BITS[kind]
    low = 0 if kind.startswith("U") else span // 2
    return ((whole + low) & (span - 1)) - low


class Program:
    """A loaded program: weights dequantized once, ready for every length that its inputs allow."""

    def __init__(self, package: Path, specification: Any | None = None) -> None:
        """Raises UsageError for a damaged package or an operation that is not implemented."""
        specification = specification or read_specification(package)
        function = specification.mlProgram.functions["main"]
        block = function.block_specializations[function.opset]
        self.inputs: dict[str, str] = {entry.name: _kind(entry) for entry in function.inputs}
        """Name → declared type."""
        self.outputs: tuple[str, ...] = tuple(block.outputs)
        self.constants: dict[str, Value] = {}
        """Every constant by name, compressed weights in their dense form."""
        self.compressed: dict[str, Compressed] = {}
        blobs = Blobs(package / DATA / "weights")
        steps: list[_Step] = []
        with torch.inference_mode():
            for operation in block.operations:
                step = self._step(operation, blobs)
                if step is None:
                    continue
                if any(name not in self.constants for name in step.names()):
                    steps.append(step)
                    continue
                step.run(self.constants)
                if step.operation.startswith("constexpr_"):
                    inputs = {key: self.constants[str(name)] for key, name in step.arguments.items()}
                    self.compressed[step.outputs[0][0]] = Compressed(step.operation, inputs)
        self._steps = _with_lifetimes(steps, {*self.outputs, *self.constants})
        needed = {*self.outputs, *(name for step in steps for name in step.names())}
        self._bound = {name: value for name, value in self.constants.items() if name in needed}

    def _step(self, operation: Any, blobs: Blobs) -> _Step | None:
        """One MIL_pb2.Operation; None for a constant, which is kept."""
        outputs = tuple((entry.name, _kind(entry)) for entry in operation.outputs)
        place = outputs[0][0] if outputs else "the end"
        if operation.type == "const":
            self.constants[place] = constant(operation.attributes["val"], blobs)
            return None
        if operation.type not in OPERATIONS or operation.blocks:
            raise UsageError(
                f"operation {operation.type} at {place} is not implemented by the evaluation on Linux"
            )
        arguments: dict[str, str | tuple[str, ...]] = {}
        for key, value in operation.attributes.items():
            if key != "name":
                arguments[key] = f"{place}.{key}"
                self.constants[f"{place}.{key}"] = constant(value, blobs)
        for key, argument in operation.inputs.items():
            names = []
            for i, binding in enumerate(argument.arguments):
                names.append(binding.name or f"{place}.{key}.{i}")
                if binding.WhichOneof("binding") == "value":
                    self.constants[names[-1]] = constant(binding.value, blobs)
            arguments[key] = tuple(names) if key == "values" else names[0]
        unknown = arguments.keys() - inspect.signature(OPERATIONS[operation.type]).parameters.keys()
        if unknown:
            raise UsageError(
                f"input {min(unknown)} of operation {operation.type} at {place} is not implemented "
                "by the evaluation on Linux"
            )
        return _Step(operation.type, arguments, outputs)

    def __call__(
        self,
        feeds: Mapping[str, np.ndarray],
        observe: Callable[[str, Value], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Inputs by name → the program's outputs, by name. `observe` gets every result's name and value.

        Raises PipelineError that names the operation when one cannot be evaluated.
        """
        known = dict(self._bound)
        with torch.inference_mode():
            for name, kind in self.inputs.items():
                known[name] = _stored(torch.from_numpy(np.array(feeds[name])), kind)
            for step in self._steps:
                step.run(known)
                if observe:
                    for name, _ in step.outputs:
                        observe(name, known[name])
                for name in step.finished:
                    del known[name]
            values = {name: known[name] for name in self.outputs}
        return {name: value.numpy() for name, value in values.items() if isinstance(value, torch.Tensor)}


def _kind(entry: Any) -> str:
    """The declared type of a MIL_pb2.NamedValueType, as MIL_pb2.DataType calls it."""
    from coremltools.proto import MIL_pb2

    return str(MIL_pb2.DataType.Name(entry.type.tensorType.dataType))


def _with_lifetimes(steps: list[_Step], always: Collection[str]) -> tuple[_Step, ...]:
    """The same steps, each knowing which values it is the last to use."""
    seen = set(always)
    ordered = []
    for step in reversed(steps):
        touched = {*step.names(), *(name for name, _ in step.outputs)}
        ordered.append(_Step(step.operation, step.arguments, step.outputs, tuple(sorted(touched - seen))))
        seen |= touched
    return tuple(reversed(ordered))
