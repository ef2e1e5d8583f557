"""ONNX files as a graph, and their values on windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporters.base import quiet
from exporters.linting.graph import Constant, Entry, Graph, Operation, Role, Size, Value, Windows, peak
from pipeline.types import UsageError

TARGET = "onnx"
ROLES: dict[str, Role] = {
    **dict.fromkeys(("Conv", "Einsum", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"), "product"),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND"), "lookup"),
    **dict.fromkeys(
        (
            *("Cast", "Concat", "DequantizeLinear", "Expand", "Flatten", "Identity", "Pad", "Reshape", "Slice"),
            *("Split", "Squeeze", "Transpose", "Unsqueeze"),
        ),
        "move",
    ),
    **dict.fromkeys(("Shape", "Size"), "shape"),
}
_TYPES = {"float": "float32", "double": "float64"}


def read(path: Path) -> Graph:
    """The file's graph. Raises UsageError for a damaged file."""
    with quiet():
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            model = onnx.load(str(path))
        except (DecodeError, ValueError, OSError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"{path} is damaged and cannot be read ({reason}); export it again") from None
    graph = model.graph
    if not graph.node and not graph.output:
        raise UsageError(f"{path} is no ONNX model, or a damaged one: it computes nothing; export it again")
    constants: dict[str, Constant] = {}
    operations: list[Operation] = []
    for tensor in graph.initializer:
        constants[tensor.name] = _constant(tensor.name, tensor)
    for place, node in enumerate(_all(graph)):
        value = next((each for each in node.attribute if each.name.startswith("value")), None)
        if node.op_type == "Constant" and value is not None:
            constants |= _given(node.output[0], value)
            continue
        operations.append(
            Operation(
                name=node.name or (node.output[0] if node.output else str(place)),
                kind=node.op_type,
                role=ROLES.get(node.op_type, "arithmetic"),
                inputs=tuple(name for name in node.input if name),
                outputs=tuple(node.output),
            )
        )
    initial = set(constants)
    entry = Entry(
        name=graph.name,
        inputs=tuple(_value(each) for each in graph.input if each.name not in initial),
        outputs=tuple(_value(each) for each in graph.output),
    )
    return Graph(
        target=TARGET,
        path=path,
        entries=(entry,),
        operations=tuple(operations),
        constants=constants,
        types=_computed(model),
        metadata={
            **({"description": model.doc_string} if model.doc_string else {}),
            **{each.key: each.value for each in model.metadata_props if each.value},
        },
    )


def _all(graph: Any) -> Iterator[Any]:
    """Every node of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all(inner)


def _name(kind: int) -> str:
    import onnx

    name: str = onnx.TensorProto.DataType.Name(kind).lower()
    return _TYPES.get(name, name)


def _constant(name: str, tensor: Any) -> Constant:
    from onnx import numpy_helper

    array = np.asarray(numpy_helper.to_array(tensor))
    if array.dtype.kind not in "fiub":  # bfloat16 and smaller, text
        array = array.astype(np.float32) if array.dtype.kind == "V" else np.zeros(0, np.uint8)
    dtype = _name(tensor.data_type)
    return Constant(name=name, dtype=dtype, array=array, storage=name, size_bytes=array.nbytes)


def _given(name: str, attribute: Any) -> dict[str, Constant]:
    """What a Constant node holds."""
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return {name: _constant(name, value)}
    if isinstance(value, bytes) or (isinstance(value, list) and value and isinstance(value[0], bytes)):
        return {}
    whole = attribute.name.startswith("value_int")
    array = np.array(value, np.int64 if whole else np.float32)
    return {
        name: Constant(name=name, dtype=array.dtype.name, array=array, storage=name, size_bytes=array.nbytes)
    }


def _value(value: Any) -> Value:
    tensor = value.type.tensor_type
    return Value(
        name=value.name,
        dtype=_name(tensor.elem_type),
        shape=tuple(
            Size(int(each.dim_value), int(each.dim_value)) if each.HasField("dim_value") else Size(1, None)
            for each in tensor.shape.dim
        ),
    )


def _computed(model: Any) -> dict[str, str]:
    """Types of what the operations compute, inferred where the file does not say them."""
    import onnx

    with quiet():
        inferred = onnx.shape_inference.infer_shapes(model)
    known = (*inferred.graph.value_info, *inferred.graph.output)
    return {value.name: _name(value.type.tensor_type.elem_type) for value in known}


def watch(graph: Graph, windows: Windows) -> dict[str, float]:
    """Value → largest magnitude, of every float value, from ONNX Runtime without its optimisations."""
    with quiet():
        import onnx
        import onnxruntime

        model = onnx.load(str(graph.path))
        outputs = {each.name for each in model.graph.output}
        seen = [name for name, dtype in graph.types.items() if dtype in ("float32", "float16")]
        for name in seen:
            if name not in outputs:
                model.graph.output.add(name=name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    peaks: dict[str, float] = {}
    for feeds in graph.feeds(windows):
        values = session.run(seen, dict(zip(graph.inputs(), feeds, strict=True)))
        for name, value in zip(seen, values, strict=True):
            peaks[name] = max(peaks.get(name, 0.0), peak(np.asarray(value)))
    return peaks
