"""Every rule against a TFLite file with that fault, edited into a program of our own exporter."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.base import Lowered
from exporters.linting import tflite
from exporters.linting.checks import RULES
from exporters.linting.inspection import inspect
from pipeline.types import Student, UsageError
from tests.exporters.linting.given import Seeds, float_matrices, found, look

pytest.importorskip("ai_edge_litert")
TARGET = "tflite"
SHAPES = (3 * 32 * 32 + 32 * 32 + 2 * 32 * 48, 3 * 32 * 16 + 16 * 32 + 2 * 32 * 64, 32 * 2)
"""Multiplications a token of the tiny student's linears: its two layers and its head."""


def edited(whole: Path, out: Path, change: Callable[[Any, Any], None]) -> Path:
    """The program with `change(model, subgraph)` made to its tables; constants move into the flatbuffer."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    data = whole.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset and buffer.offset > 1:
            buffer.data = np.frombuffer(data[buffer.offset : buffer.offset + buffer.size], np.uint8)
        buffer.offset = buffer.size = 0
    change(model, model.subgraphs[0])
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    path = out / "edited.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


def vectors(model: Any, graph: Any, size: int) -> list[Any]:
    """Buffers of the float32 constants with so many numbers."""
    floats = (tensor for tensor in graph.tensors if tensor.type == 0)
    held = (model.buffers[tensor.buffer] for tensor in floats)
    return [buffer for buffer in held if buffer.data is not None and len(buffer.data) == 4 * size]


def numbers(value: float) -> Callable[[Path, Path], Path]:
    """The first number of a layer norm's weight is this one."""

    def change(model: Any, graph: Any) -> None:
        buffer = vectors(model, graph, 32)[0]
        array = np.asarray(buffer.data, np.uint8).view(np.float32).copy()
        array[0] = value
        buffer.data = array.view(np.uint8)

    return lambda whole, out: edited(whole, out, change)


def louder(whole: Path, out: Path) -> Path:
    """Every vector of 32 numbers times 10⁴."""

    def change(model: Any, graph: Any) -> None:
        for buffer in vectors(model, graph, 32):
            scaled = np.asarray(buffer.data, np.uint8).view(np.float32) * np.float32(1e4)
            buffer.data = scaled.view(np.uint8)

    return edited(whole, out, change)


def cast(dtypes: tuple[str, ...], where: str) -> Callable[[Path, Path], Path]:
    """Casts put before an input or after an output, through these types."""

    def change(model: Any, graph: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        types = vars(schema.TensorType)
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CAST
        model.operatorCodes.append(code)
        side = [int(index) for index in (graph.inputs if where == "input" else graph.outputs)]
        old = int(side[0])
        chain = [old]
        for dtype in dtypes:
            tensor = schema.TensorT()
            tensor.name, tensor.type, tensor.shape = (
                f"as {dtype}".encode(),
                types[dtype],
                graph.tensors[old].shape,
            )
            tensor.buffer = 0
            graph.tensors.append(tensor)
            chain.append(len(graph.tensors) - 1)
        if where == "input":
            chain.reverse()
        for begin, end in itertools.pairwise(chain):
            operator = schema.OperatorT()
            operator.opcodeIndex = len(model.operatorCodes) - 1
            operator.inputs, operator.outputs = [begin], [end]
            graph.operators.insert(0 if where == "input" else len(graph.operators), operator)
        new = chain[0] if where == "input" else chain[-1]
        side[0] = new
        if where == "input":
            graph.inputs = side
        else:
            graph.outputs = side
        signature = model.signatureDefs[0]
        for entry in signature.inputs if where == "input" else signature.outputs:
            entry.tensorIndex = new if entry.tensorIndex == old else entry.tensorIndex

    return lambda whole, out: edited(whole, out, change)


def constant(array: np.ndarray, copies: int) -> Callable[[Path, Path], Path]:
    """A constant that nothing needs, in buffers of their own."""

    def change(model: Any, graph: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        for number in range(copies):
            buffer, tensor = schema.BufferT(), schema.TensorT()
            buffer.data = array.view(np.uint8).reshape(-1)
            model.buffers.append(buffer)
            tensor.name, tensor.shape = f"table {number}".encode(), list(array.shape)
            tensor.type = {"int64": schema.TensorType.INT64, "int8": schema.TensorType.INT8}[array.dtype.name]
            tensor.buffer = len(model.buffers) - 1
            graph.tensors.append(tensor)

    return lambda whole, out: edited(whole, out, change)


def free_length(whole: Path, out: Path) -> Path:
    def change(model: Any, graph: Any) -> None:
        for index in graph.inputs:
            graph.tensors[index].shapeSignature = [1, -1]

    return edited(whole, out, change)


def renamed(*names: bytes) -> Callable[[Path, Path], Path]:
    """Signature outputs under other names, in the order of the subgraph's."""

    def change(model: Any, graph: Any) -> None:
        for entry in model.signatureDefs[0].outputs:
            entry.name = names[list(graph.outputs).index(entry.tensorIndex)]

    return lambda whole, out: edited(whole, out, change)


def crossed(whole: Path, out: Path) -> Path:
    """Right names at the right positions, wrong values: the two head slices change places."""

    def change(model: Any, graph: Any) -> None:
        first, second = (int(index) for index in graph.outputs)
        for operator in graph.operators:
            swap = {first: second, second: first}
            operator.outputs = [swap.get(int(index), int(index)) for index in operator.outputs]

    return edited(whole, out, change)


def bare(whole: Path, out: Path) -> Path:
    def change(model: Any, graph: Any) -> None:
        model.metadata = []

    return edited(whole, out, change)


def no_kernels(whole: Path, out: Path) -> Path:
    """One CUMSUM over a float input, which XNNPACK leaves alone."""

    def change(model: Any, graph: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        code, axis, place = schema.OperatorCodeT(), schema.TensorT(), schema.BufferT()
        code.builtinCode, code.version = schema.BuiltinOperator.CUMSUM, 1
        code.deprecatedBuiltinCode = 127
        place.data = np.zeros(1, np.int32).view(np.uint8)
        model.operatorCodes, model.buffers = [code], [schema.BufferT(), place]
        axis.name, axis.type, axis.shape, axis.buffer = b"axis", schema.TensorType.INT32, [], 1
        given, made = schema.TensorT(), schema.TensorT()
        for tensor, name in ((given, b"given"), (made, b"made")):
            tensor.name, tensor.type, tensor.shape, tensor.buffer = name, schema.TensorType.FLOAT32, [8, 8], 0
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 2], [1]
        operator.builtinOptionsType = schema.BuiltinOptions.CumsumOptions
        operator.builtinOptions = schema.CumsumOptionsT()
        graph.tensors, graph.operators = [given, made, axis], [operator]
        graph.inputs, graph.outputs = [0], [1]
        model.signatureDefs, model.metadata, model.metadataBuffer = [], [], []

    return edited(whole, out, change)


SEEDS: Seeds = {
    "infinite-constant": ("error", numbers(float("-inf"))),
    "fp16-overflow": ("warning", numbers(-3.4e38)),
    "int64-interface": ("error", cast(("INT64",), "input")),
    "float64": ("error", cast(("FLOAT64", "FLOAT32"), "output")),
    "wide-constant": ("note", constant(np.arange(200, dtype=np.int64), 1)),
    "activation-range": ("warning", louder),
    "duplicated-constant": ("warning", constant(np.ones((64, 32), np.int8), 2)),
    "outside-delegate": ("error", no_kernels),
    "unbounded-shape": ("error", free_length),
    "unsupported-shape": ("error", free_length),
    "interface-names": ("error", renamed(b"Identity", b"Identity_1")),
    "outputs-swapped": ("error", crossed),
    "missing-metadata": ("warning", bare),
}
"""left-float has a test of its own: its seed is a program whose record is not told."""


@pytest.mark.parametrize("rule", SEEDS)
def test_it_is_caught(rule: str, program: Callable[..., Lowered], tiny: Student, tmp_path: Path) -> None:
    severity, seed = SEEDS[rule]
    findings = found(look(seed(program(TARGET).path, tmp_path), tiny, TARGET), rule)
    assert findings, f"{rule} finds nothing"
    assert findings[0].severity == severity
    assert findings[0].sentence.endswith(RULES[rule].advice)
    assert findings[0].where


def test_a_program_of_ours_has_no_errors(program: Callable[..., Lowered], tiny: Student) -> None:
    inspection = look(program(TARGET).path, tiny, TARGET)
    assert not [finding for finding in inspection.findings if finding.severity == "error"]
    assert not {"activation-range", "outputs-swapped", "left-float"} & set(inspection.skipped)


def test_float_matrices_are_errors_unless_the_record_keeps_them(
    program: Callable[..., Lowered], tiny_kept: Student
) -> None:
    path = program(TARGET, kept=True).path
    left = found(inspect(path), "left-float")
    assert {finding.severity for finding in left} == {"error"}
    assert len(left) == 2  # KEPT's feed-forward and positions; the others are too small to matter
    assert not found(inspect(path, kept=float_matrices(tiny_kept)), "left-float")
    assert not found(inspect(path, precision="float32"), "left-float")


def test_outputs_named_the_other_way_round(program: Callable[..., Lowered], tmp_path: Path) -> None:
    path = renamed(b"end_logits", b"start_logits")(program(TARGET).path, tmp_path)
    (finding,) = found(inspect(path), "interface-names")
    assert "outputs are swapped: end_logits, start_logits" in finding.sentence


def test_what_xnnpack_takes_is_read_from_the_runtime(program: Callable[..., Lowered]) -> None:
    graph = tflite.read(program(TARGET).path)
    products = [operation for operation in graph.operations if operation.role == "product"]
    stored = [each for each in products if any(graph.source(name) is not None for name in each.inputs)]
    assert stored
    assert all(operation.delegated for operation in stored)
    assert not any(operation.delegated for operation in graph.operations if operation.role == "lookup")
    # A single head's attention becomes a FULLY_CONNECTED of two computed matrices, which XNNPACK leaves alone.
    (alone,) = (operation for operation in products if not operation.delegated)
    assert alone not in stored
    assert sum(operation.flops for operation in stored) == 2 * 64 * sum(SHAPES)


@pytest.mark.parametrize("damage", [b"", b"not a program", b"\x1c\0\0\0TFL3" + b"\xff" * 40])
def test_a_damaged_file_is_one_sentence(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(damage)
    with pytest.raises(UsageError, match=r"broken\.tflite .*export it again"):
        inspect(path)


def test_half_a_file_is_one_sentence(program: Callable[..., Lowered], tmp_path: Path) -> None:
    data = program(TARGET).path.read_bytes()
    path = tmp_path / "half.tflite"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=r"half\.tflite .*export it again"):
        inspect(path)
