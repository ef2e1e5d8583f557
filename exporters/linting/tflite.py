"""TFLite files as a graph, and their values on windows."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters import tflite_file
from exporters.base import quiet
from exporters.linting.graph import (
    Constant,
    Entry,
    Graph,
    Operation,
    Role,
    Size,
    Value,
    Windows,
    fixed,
    peak,
)
from pipeline.types import UsageError

TARGET = "tflite"
ROLES: dict[str, Role] = {
    **dict.fromkeys(("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D"), "product"),
    **dict.fromkeys(("EMBEDDING_LOOKUP", "GATHER", "GATHER_ND"), "lookup"),
    **dict.fromkeys(
        (
            *("CAST", "CONCATENATION", "DEQUANTIZE", "EXPAND_DIMS", "PACK", "PAD", "RESHAPE", "SLICE", "SPLIT"),
            *("SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK", "BROADCAST_TO"),
        ),
        "move",
    ),
    **dict.fromkeys(("SHAPE", "RANK"), "shape"),
}
_TYPES: dict[str, Any] = {
    "float32": np.float32,
    "float16": np.float16,
    "float64": np.float64,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
}
METADATA = "TFLITE_METADATA"
"""What the flatbuffer calls its model metadata; associated files follow the flatbuffer as a ZIP archive."""


def read(path: Path) -> Graph:
    """The file's graph, with what XNNPACK takes of it on this machine. Raises UsageError for a damaged file."""
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise UsageError(f"{path} is no TFLite file, or a damaged one: it lacks the mark TFL3; export it again")
    with quiet():
        from ai_edge_litert import schema_py_generated as schema
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        return _graph(path, data, model, schema)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, UsageError):
            raise
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path} is damaged and cannot be read ({reason}); export it again") from None


def _graph(path: Path, data: bytes, model: Any, schema: Any) -> Graph:
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    kinds = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    constants: dict[str, Constant] = {}
    operations: list[Operation] = []
    types: dict[str, str] = {}
    called = {0, *(each.subgraphIndex for each in model.signatureDefs or [])}
    for number, graph in enumerate(model.subgraphs):
        taken = delegated(path, number) if number in called else set()
        names = [_label(number, index, tensor) for index, tensor in enumerate(graph.tensors)]
        for index, tensor in enumerate(graph.tensors):
            array = _array(tensor, model.buffers[tensor.buffer], data, kinds[tensor.type])
            if array is not None:
                constants[names[index]] = Constant(
                    name=names[index],
                    dtype=kinds[tensor.type],
                    array=array,
                    storage=str(tensor.buffer),
                    size_bytes=array.nbytes,
                )
        for place, operator in enumerate(graph.operators):
            code = model.operatorCodes[operator.opcodeIndex]
            kind = codes[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if kind == "CUSTOM":
                kind = code.customCode.decode()
            inputs = [index for index in operator.inputs if index >= 0]
            if kind == "EMBEDDING_LOOKUP":
                inputs.reverse()
            outputs = tuple(names[index] for index in operator.outputs)
            types |= {names[index]: kinds[graph.tensors[index].type] for index in operator.outputs}
            operations.append(
                Operation(
                    name=outputs[0] if outputs else f"{number}:{place}",
                    kind=kind,
                    role=ROLES.get(kind, "arithmetic"),
                    inputs=tuple(names[index] for index in inputs),
                    outputs=outputs,
                    flops=_flops(kind, operator, graph.tensors),
                    delegated=place in taken,
                )
            )
    return Graph(
        target=TARGET,
        path=path,
        entries=tuple(_entries(model, kinds)),
        operations=tuple(operations),
        constants=constants,
        types=types,
        metadata=_metadata(path, model),
        delegate="XNNPACK",
    )


def _label(subgraph: int, index: int, tensor: Any) -> str:
    name = tensor.name.decode("utf-8", "replace") if tensor.name else ""
    return f"{subgraph}:{index} {name}".strip()


def _array(tensor: Any, buffer: Any, data: bytes, kind: str) -> np.ndarray | None:
    """A tensor's numbers where it is a constant; buffers of large files lie behind the flatbuffer."""
    if buffer.offset and buffer.offset > 1:
        raw = data[buffer.offset : buffer.offset + buffer.size]
    elif buffer.data is not None and len(buffer.data):
        raw = np.asarray(buffer.data, np.uint8).tobytes()
    else:
        return None
    if kind not in _TYPES:  # packed 4-bit numbers, text
        return np.frombuffer(raw, np.uint8)
    shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
    return np.frombuffer(raw, _TYPES[kind]).reshape(shape)


def _flops(kind: str, operator: Any, tensors: Sequence[Any]) -> float:
    """Of one operation, from the shapes the file declares."""

    def count(index: int) -> int:
        shape = tensors[index].shape
        return math.prod(abs(int(size)) for size in shape) if shape is not None else 1

    role, out = ROLES.get(kind, "arithmetic"), sum(count(index) for index in operator.outputs)
    if role == "product":
        weight = tensors[operator.inputs[1]].shape
        if kind == "BATCH_MATMUL":
            left = [int(size) for size in tensors[operator.inputs[0]].shape]
            return 2.0 * out * (left[-2] if operator.builtinOptions.adjX else left[-1])
        return 2.0 * out * math.prod(int(size) for size in weight) / max(1, int(weight[0]))
    if role != "arithmetic":
        return 0.0
    return float(max([out, *(count(index) for index in operator.inputs if index >= 0)]))


def _entries(model: Any, kinds: Mapping[int, str]) -> Iterator[Entry]:
    """A signature's names at the positions of its subgraph; the tensors' own names where there is none."""
    signatures = model.signatureDefs or []
    described = {each.subgraphIndex for each in signatures}
    for signature in signatures:
        number = signature.subgraphIndex
        graph = model.subgraphs[number]
        named = {
            each.tensorIndex: each.name.decode()
            for each in (*(signature.inputs or []), *(signature.outputs or []))
        }
        yield Entry(
            name=signature.signatureKey.decode(),
            inputs=tuple(_value(named.get(i, ""), i, number, model, kinds) for i in graph.inputs),
            outputs=tuple(_value(named.get(i, ""), i, number, model, kinds) for i in graph.outputs),
        )
    if 0 not in described:
        graph = model.subgraphs[0]
        values = [
            tuple(_value((graph.tensors[i].name or b"").decode(), i, 0, model, kinds) for i in side)
            for side in (graph.inputs, graph.outputs)
        ]
        yield Entry(name="main", inputs=values[0], outputs=values[1])


def _value(name: str, index: int, subgraph: int, model: Any, kinds: Mapping[int, str]) -> Value:
    tensor = model.subgraphs[subgraph].tensors[index]
    shape = fixed(tensor.shape if tensor.shape is not None else ())
    if tensor.shapeSignature is not None:
        shape = tuple(
            Size(1, None) if signed < 0 else size
            for signed, size in zip(tensor.shapeSignature, shape, strict=True)
        )
    return Value(name=name, dtype=kinds[tensor.type], shape=shape, key=_label(subgraph, int(index), tensor))


def _metadata(path: Path, model: Any) -> dict[str, str]:
    """Names of the metadata buffers and of the associated files; what they hold is not needed."""
    found = {each.name.decode(): "present" for each in model.metadata or []}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found |= dict.fromkeys(archive.namelist(), "associated file")
    return found


def delegated(path: Path, number: int) -> set[int]:
    """The places of the operations that XNNPACK takes here from one of the file's subgraphs.

    A DELEGATE node stands for every operation between its inputs and its outputs.
    """
    nodes = _interpreter(path, number)._get_ops_details()
    originals = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producers = {int(out): place for place, node in enumerate(originals) for out in node["outputs"]}
    taken: set[int] = set()
    for node in nodes:
        if node["op_name"] != "DELEGATE":
            continue
        borders = {int(index) for index in node["inputs"]}
        waiting = [int(index) for index in node["outputs"]]
        while waiting:
            value = waiting.pop()
            place = producers.get(value)
            if value in borders or place is None or place in taken:
                continue
            taken.add(place)
            waiting.extend(int(index) for index in originals[place]["inputs"])
    return taken


def _interpreter(path: Path, number: int, **options: Any) -> Any:
    """One subgraph in LiteRT's interpreter, which shows nodes and values of a file's first only."""
    given: dict[str, Any] = {"model_path": str(path)}
    if number:
        given = {"model_content": tflite_file.alone(path.read_bytes(), number)}
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(**given, num_threads=1, **options)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{path} cannot be loaded by the runtime ({reason}); export it again") from None
    return interpreter


def watch(graph: Graph, windows: Windows) -> dict[str, float]:
    """Value → largest magnitude in the widest signature; without a delegate, which would keep its values."""
    number = int(graph.widest.inputs[0].key.partition(":")[0] or 0)
    with quiet():
        from ai_edge_litert.interpreter import OpResolverType
    interpreter = _interpreter(
        graph.path,
        number,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    computed = {int(out) for node in interpreter._get_ops_details() for out in node["outputs"]}
    labels = {
        detail["index"]: f"{number}:{detail['index']} {detail['name']}".strip()
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.float32 and detail["index"] in computed
    }
    places = [detail["index"] for detail in interpreter.get_input_details()]
    peaks: dict[str, float] = {}
    for feeds in graph.feeds(windows):
        try:
            for index, array in zip(places, feeds, strict=True):
                interpreter.resize_tensor_input(index, array.shape)
            interpreter.allocate_tensors()
            for index, array in zip(places, feeds, strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"it does not run on a window of {feeds[0].shape[1]} tokens: {reason}") from None
        for index, label in labels.items():
            peaks[label] = max(peaks.get(label, 0.0), peak(interpreter.get_tensor(index)))
    return peaks
