"""Core ML packages as a graph, and their values on windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporters import mil, mil_weights
from exporters.linting.graph import Constant, Entry, Graph, Operation, Role, Size, Value, Windows, peak

TARGET = "coreml"
ROLES: dict[str, Role] = {
    **dict.fromkeys(("linear", "matmul", "conv", "einsum", "scaled_dot_product_attention"), "product"),
    **dict.fromkeys(("gather", "gather_along_axis", "gather_nd"), "lookup"),
    **dict.fromkeys(
        (
            "cast",
            "expand_dims",
            "identity",
            "reshape",
            "slice_by_index",
            "slice_by_size",
            "squeeze",
            "transpose",
        ),
        "move",
    ),
    "shape": "shape",
}
ENUMERATED_SINCE = 9
"""The specification version (iOS 18) from which several inputs may have enumerated shapes."""
_INTERFACE = {"DOUBLE": "float64"}


def read(path: Path) -> Graph:
    """The package's graph. Raises UsageError for a damaged package."""
    specification = mil.read_specification(path)
    blobs = mil_weights.Blobs(path / mil.DATA / "weights")
    constants: dict[str, Constant] = {}
    operations: list[Operation] = []
    types: dict[str, str] = {}
    for function in specification.mlProgram.functions.values():
        for operation in _all(function.block_specializations[function.opset]):
            for constant in _constants(operation, blobs):
                constants[constant.name] = constant
            if operation.type == "const":
                continue
            types |= {entry.name: mil._kind(entry).lower() for entry in operation.outputs}
            operations.append(_operation(operation))
    description = specification.description
    metadata = {
        "author": description.metadata.author,
        "licence": description.metadata.license,
        "description": description.metadata.shortDescription,
        "version": description.metadata.versionString,
        **dict(description.metadata.userDefined),
    }
    entry = Entry(
        name="main",
        inputs=tuple(_value(feature) for feature in description.input),
        outputs=tuple(_value(feature) for feature in description.output),
    )
    return Graph(
        target=TARGET,
        path=path,
        entries=(entry,),
        operations=tuple(operations),
        constants=constants,
        types=types,
        metadata={key: value for key, value in metadata.items() if value},
        flaws=tuple(_flaws(specification)),
    )


def watch(graph: Graph, windows: Windows) -> dict[str, float]:
    """Value → largest magnitude, of every value as its declared type keeps it."""
    program = mil.Program(graph.path)
    peaks: dict[str, float] = {}

    def observe(name: str, value: Any) -> None:
        if value.is_floating_point():
            peaks[name] = max(peaks.get(name, 0.0), peak(value.numpy()))

    for feeds in graph.feeds(windows):
        program(dict(zip(graph.inputs(), feeds, strict=True)), observe)
    return peaks


def _all(block: Any) -> Iterator[Any]:
    """Every operation of a block and of the blocks inside its operations."""
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _all(inner)


def _operation(operation: Any) -> Operation:
    """Weights in a compressed form come out of operations too: their numbers are those of their data."""
    outputs = tuple(entry.name for entry in operation.outputs)
    place = outputs[0] if outputs else operation.type
    named = {
        key: tuple(
            binding.name or f"{place}.{key}.{number}" for number, binding in enumerate(argument.arguments)
        )
        for key, argument in operation.inputs.items()
    }
    named |= {key: (f"{place}.{key}",) for key in operation.attributes if key != "name"}
    role = ROLES.get(operation.type, "arithmetic")
    if operation.type.startswith("constexpr_"):
        role = "move"
    first = {"lookup": "x", "move": "x"}.get(role, "")
    first = next((key for key in (first, *_DATA) if key in named), first)
    last = "indices" if role == "lookup" else ""
    order = sorted(named, key=lambda key: (key != first, key == last))
    return Operation(
        name=place,
        kind=operation.type,
        role=role,
        inputs=tuple(name for key in order for name in named[key]),
        outputs=outputs,
    )


_DATA = ("quantized_data", "data", "indices", "nonzero_data", "source_val")
"""What constexpr operations call the numbers themselves; `indices` are those of a palette."""


def _constants(operation: Any, blobs: mil_weights.Blobs) -> Iterator[Constant]:
    place = operation.outputs[0].name if operation.outputs else operation.type
    for key, value in operation.attributes.items():
        if key != "name":
            yield from _constant(place if operation.type == "const" else f"{place}.{key}", value, blobs)
    for key, argument in operation.inputs.items():
        for number, binding in enumerate(argument.arguments):
            if binding.WhichOneof("binding") == "value":
                yield from _constant(f"{place}.{key}.{number}", binding.value, blobs)


def _constant(name: str, value: Any, blobs: mil_weights.Blobs) -> Iterator[Constant]:
    from coremltools.proto import MIL_pb2

    found = mil_weights.constant(value, blobs)
    if isinstance(found, str):
        return
    kind = MIL_pb2.DataType.Name(value.type.tensorType.dataType)
    array = found.numpy()
    bits = int("".join(filter(str.isdigit, kind)) or 8)
    storage = name
    if value.WhichOneof("value") == "blobFileValue":
        storage = f"{value.blobFileValue.fileName}:{value.blobFileValue.offset}"
    yield Constant(
        name=name,
        dtype=kind.lower(),
        array=array,
        storage=storage,
        size_bytes=-(-array.size * bits // 8),
    )


def _value(feature: Any) -> Value:
    """An input or output as the package's description declares it."""
    from coremltools.proto import FeatureTypes_pb2

    array = feature.type.multiArrayType
    kind = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType)
    shape: tuple[Size, ...] = tuple(Size(int(size), int(size)) for size in array.shape)
    if array.enumeratedShapes.shapes:
        columns = np.array([list(each.shape) for each in array.enumeratedShapes.shapes]).T
        shape = tuple(Size(int(column.min()), int(column.max())) for column in columns)
    elif array.shapeRange.sizeRanges:
        shape = tuple(
            Size(int(each.lowerBound), None if each.upperBound < 0 else int(each.upperBound))
            for each in array.shapeRange.sizeRanges
        )
    return Value(name=feature.name, dtype=_INTERFACE.get(kind, kind.lower()), shape=shape)


def _flaws(specification: Any) -> Iterator[tuple[str, str]]:
    enumerated = [
        feature.name
        for feature in specification.description.input
        if len(feature.type.multiArrayType.enumeratedShapes.shapes) > 1
    ]
    version = specification.specificationVersion
    if len(enumerated) > 1 and version < ENUMERATED_SINCE:
        yield (
            ", ".join(enumerated),
            f"{len(enumerated)} inputs have enumerated shapes, which needs iOS 18, but the package says "
            f"specification version {version}",
        )
