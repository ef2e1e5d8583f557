"""ExecuTorch programs as a graph, down into XNNPACK's partitions, and their values on windows."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

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
    peak,
)
from pipeline.types import UsageError

TARGET = "executorch"
DELEGATE = "XnnpackBackend"
ROLES: dict[str, Role] = {
    **dict.fromkeys(("mm", "bmm", "addmm", "linear", "convolution", "matmul"), "product"),
    **dict.fromkeys(("embedding", "index_select", "gather"), "lookup"),
    **dict.fromkeys(
        (
            *("_to_copy", "_to_dim_order_copy", "_clone_dim_order", "clone", "copy", "et_view", "expand_copy"),
            *(
                "permute_copy",
                "select_copy",
                "slice_copy",
                "split_copy",
                "split_with_sizes_copy",
                "squeeze_copy",
            ),
            *("t_copy", "transpose_copy", "unsqueeze_copy", "view_copy", "cat", "alias_copy"),
        ),
        "move",
    ),
    **dict.fromkeys(("sym_size", "sym_numel"), "shape"),
    **dict.fromkeys(
        ("XNNFullyConnected", "XNNBatchMatrixMultiply", "XNNConv2d", "XNNDepthwiseConv2d"), "product"
    ),
    "XNNScaledDotProductAttention": "product",
    **dict.fromkeys(
        ("XNNCopy", "XNNStaticReshape", "XNNStaticTranspose", "XNNStaticSlice", "XNNConvert"), "move"
    ),
    **dict.fromkeys(("XNNStaticConstantPad", *(f"XNNConcatenate{n}" for n in range(2, 6))), "move"),
}
_FIRST = {"index_select": (0, 2), "gather": (0, 2), "embedding": (0, 1)}
"""Lookups: which arguments are the table and the ids."""
TRACE_BYTES, TRACE_ALIGNMENT = 2**20, 64
"""What a trace takes beside the values."""
_TYPES: dict[str, Any] = {
    "BYTE": np.uint8,
    "CHAR": np.int8,
    "SHORT": np.int16,
    "INT": np.int32,
    "LONG": np.int64,
    "HALF": np.float16,
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
    "BOOL": np.bool_,
}
_XNN_TYPES: dict[str, tuple[str, Any]] = {
    "fp32": ("float32", np.float32),
    "fp16": ("float16", np.float16),
    "qcint8": ("int8", np.int8),
    "qint8": ("int8", np.int8),
    "qcint32": ("int32", np.int32),
    "int32": ("int32", np.int32),
}


def read(path: Path) -> Graph:
    """The program's graph. Raises UsageError for a damaged file."""
    data = path.read_bytes()
    if data[4:6] != b"ET":
        raise UsageError(f"{path} is no ExecuTorch program, or damaged: it lacks the mark ET; export it again")
    with quiet():
        from executorch.exir._serialize._program import deserialize_pte_binary

        try:
            file = deserialize_pte_binary(data)
        except Exception as error:  # flatc and its reader raise whatever they meet in damaged bytes
            reason = str(error).partition("\n")[0][:120]
            raise UsageError(f"{path} is damaged and cannot be read ({reason}); export it again") from None
        return _Reader(path, file).graph()


class _Reader:
    """Collects the parts of one program."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file, self.program = path, file, file.program
        self.constants: dict[str, Constant] = {}
        self.types: dict[str, str] = {}
        self.operations: list[Operation] = []
        self.trace_bytes = TRACE_BYTES

    def graph(self) -> Graph:
        entries, metadata = [], {}
        for plan in self.program.execution_plan:
            if not plan.inputs and not any(chain.instructions for chain in plan.chains):
                metadata[plan.name] = "present"  # a constant method
                continue
            entries.append(self._entry(plan))
            self._plan(plan)
        ids = {each.id for plan in self.program.execution_plan for each in plan.delegates}
        if not entries:
            raise UsageError(f"{self.path} holds no method that computes anything; export it again")
        return Graph(
            target=TARGET,
            path=self.path,
            entries=tuple(entries),
            operations=tuple(self.operations),
            constants=self.constants,
            types=self.types,
            metadata=metadata,
            delegate=", ".join(sorted(ids)) or "any delegate",
            trace_bytes=self.trace_bytes,
            opaque=tuple(sorted(ids - {DELEGATE})),
        )

    def _entry(self, plan: Any) -> Entry:
        sides = [
            tuple(self._value(f"{plan.name}:{index}", plan.values[index].val) for index in side)
            for side in (plan.inputs, plan.outputs)
        ]
        return Entry(name=plan.name, inputs=sides[0], outputs=sides[1])

    def _value(self, key: str, value: Any) -> Value:
        if type(value).__name__ != "Tensor":
            return Value(name="", dtype=type(value).__name__.lower(), key=key)
        dynamism = value.shape_dynamism.name
        return Value(
            name="",
            key=key,
            dtype=_dtype(value),
            shape=tuple(
                Size(int(size), int(size))
                if dynamism == "STATIC" or size == 1
                else Size(1, None if dynamism == "DYNAMIC_UNBOUND" else int(size))
                for size in value.sizes
            ),
        )

    def _plan(self, plan: Any) -> None:
        for index, each in enumerate(plan.values):
            if type(each.val).__name__ == "Tensor":
                self._tensor(f"{plan.name}:{index}", each.val)
            elif type(each.val).__name__ == "Double":
                name = f"{plan.name}:{index}"
                number = np.array(float(each.val.double_val))
                self.constants[name] = Constant(
                    name=name, dtype="float", array=number, storage=name, size_bytes=8
                )
        calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
        for place, call in enumerate(calls):
            kind = type(call).__name__
            if kind == "KernelCall":
                self._kernel(plan, call)
            elif kind == "DelegateCall":
                self._delegate(plan, call, f"{plan.name}/{place}")

    def _tensor(self, name: str, tensor: Any) -> None:
        self.types[name] = _dtype(tensor)
        if tensor.data_buffer_idx == 0 or tensor.allocation_info is not None:
            size = np.dtype(_TYPES.get(tensor.scalar_type.name, np.float64)).itemsize * math.prod(tensor.sizes)
            self.trace_bytes += 2 * (TRACE_ALIGNMENT + size)  # every value is logged twice
            return
        raw = bytes(self.program.constant_buffer[tensor.data_buffer_idx].storage)
        kind = _TYPES.get(tensor.scalar_type.name, np.uint8)
        array = np.frombuffer(
            raw, kind, count=min(math.prod(tensor.sizes), len(raw) // np.dtype(kind).itemsize)
        )
        if array.size == math.prod(tensor.sizes):
            array = array.reshape(tensor.sizes)
        self.constants[name] = Constant(
            name=name,
            dtype=_dtype(tensor),
            array=array,
            storage=f"constant {tensor.data_buffer_idx}",
            size_bytes=array.nbytes,
        )

    def _kernel(self, plan: Any, call: Any) -> None:
        """A kernel's outputs are its last arguments, the last of them given twice."""
        operator = plan.operators[call.op_index]
        kind = operator.name.rpartition("::")[2]
        arguments = list(call.args)
        outputs = [arguments[-1]]
        last = plan.values[arguments[-1]].val
        if type(last).__name__ == "TensorList":
            outputs = list(last.items)
        if "out" in operator.overload:
            arguments = arguments[: -1 - len(outputs)] or arguments[:-1]
        else:
            arguments = arguments[:-1]
        if kind in _FIRST and len(arguments) > max(_FIRST[kind]):
            arguments = [arguments[i] for i in _FIRST[kind]]
        inputs = []
        for index in arguments:
            value = plan.values[index].val
            many = type(value).__name__ in ("TensorList", "IntList")
            inputs += list(value.items) if many else [index]
        role = ROLES.get(kind, "arithmetic")
        shapes = [getattr(plan.values[i].val, "sizes", [1]) for i in (*outputs, *inputs)]
        out = shapes[0]
        flops = 0.0
        if role == "product":
            flops = 2.0 * math.prod(out) * shapes[len(outputs)][-1]
        elif role == "arithmetic":
            flops = float(max(math.prod(shape) for shape in shapes))
        self.operations.append(
            Operation(
                name=f"{plan.name}:{outputs[0]}",
                kind=kind,
                role=role,
                inputs=tuple(f"{plan.name}:{i}" for i in inputs),
                outputs=tuple(f"{plan.name}:{i}" for i in outputs),
                flops=flops,
            )
        )

    def _delegate(self, plan: Any, call: Any, place: str) -> None:
        """What is inside an XNNPACK partition, joined to the plan's values; others are one step."""
        delegate = plan.delegates[call.delegate_index]
        external = [f"{plan.name}:{index}" for index in call.args]
        if delegate.id != DELEGATE:
            self.operations.append(
                Operation(
                    name=place,
                    kind=delegate.id,
                    role="arithmetic",
                    inputs=tuple(external[:-1]),
                    outputs=tuple(external[-1:]),
                    delegated=True,
                )
            )
            return
        payload = bytes(self.program.backend_delegate_data[delegate.processed.index].data)
        graph, base = _partition(payload)
        names: dict[int, str] = {}
        shapes: dict[int, list[int]] = {}
        for value in graph["xvalues"]:
            tensor = value["xvalue_union"]
            tensor = tensor.get("tensor_value", tensor)
            number = tensor["id_out"]
            outside = tensor["external_id"]
            names[number] = external[outside] if outside < len(external) else f"{place}:{number}"
            shapes[number] = tensor.get("dims") or []
            dtype, kind = _XNN_TYPES.get(
                tensor["datatype"].removeprefix("xnn_datatype_"), (tensor["datatype"], np.uint8)
            )
            if tensor["constant_buffer_idx"]:
                where = graph["constant_data"][tensor["constant_buffer_idx"]]
                raw, storage = self._data(where, payload, base, delegate.processed.index)
                array = np.frombuffer(raw, kind)
                if array.size == math.prod(shapes[number]):
                    array = array.reshape(shapes[number])
                self.constants[names[number]] = Constant(
                    name=names[number], dtype=dtype, array=array, storage=storage, size_bytes=len(raw)
                )
            elif outside >= len(external):
                self.types[names[number]] = dtype
        for node in graph["xnodes"]:
            self.operations.append(_node(node, names, shapes))

    def _data(self, where: Mapping[str, Any], payload: bytes, base: int, index: int) -> tuple[bytes, str]:
        """A partition's constant and where it is stored: in the partition, or in the file for all of them."""
        if key := where.get("named_key"):
            entry = self.file.named_data.pte_data[key]
            return bytes(self.file.named_data.buffers[entry.buffer_index]), f"named {entry.buffer_index}"
        begin = base + int(where["offset"])
        return payload[begin : begin + int(where["size"])], f"partition {index}:{where['offset']}"


def _dtype(tensor: Any) -> str:
    kind = _TYPES.get(tensor.scalar_type.name)
    return np.dtype(kind).name if kind is not None else str(tensor.scalar_type.name).lower()


def _partition(payload: bytes) -> tuple[dict[str, Any], int]:
    """XNNPACK's serialized graph as JSON values, and where the constants begin in the payload."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as serialize
    from executorch.exir._serialize import _flatbuffer

    header = serialize.XNNHeader.from_bytes(payload[: serialize.XNNHeader.EXPECTED_LENGTH])
    begin = header.flatbuffer_offset
    with tempfile.TemporaryDirectory() as scratch:
        binary = Path(scratch, "partition.bin")
        binary.write_bytes(payload[begin : begin + header.flatbuffer_size])
        schema = Path(serialize.__file__).with_name("schema.fbs")
        options = ["--json", "--strict-json", "--defaults-json", "--raw-binary", "-o", scratch]
        _flatbuffer._run_flatc([*options, str(schema), "--", str(binary)])
        text = binary.with_suffix(".json").read_text(encoding="utf-8")
    # flatc writes inf and nan; Python reads Infinity and NaN.
    text = re.sub(r'(?<=[:\[,])\s*"?(-?)(inf|nan)"?(?=\s*[,}\]])', _number, text)
    graph: dict[str, Any] = json.loads(text)
    return graph, header.constant_data_offset


def _number(match: re.Match[str]) -> str:
    return match.group(1) + {"inf": "Infinity", "nan": "NaN"}[match.group(2)]


def _node(node: Mapping[str, Any], names: Mapping[int, str], shapes: Mapping[int, list[int]]) -> Operation:
    kind, fields = node["xnode_union_type"], node["xnode_union"]
    ids = {key: value for key, value in fields.items() if key.endswith("_id") and value in names}
    outputs = [value for key, value in ids.items() if key.startswith("output")]
    inputs = [value for key, value in ids.items() if not key.startswith("output")]
    if kind.startswith("XNNConcatenate"):
        inputs = inputs[: int(kind[-1])]
    role = ROLES.get(kind, "arithmetic")
    out, flops = math.prod(shapes[outputs[0]]), 0.0
    if role == "product":
        weight = shapes[ids.get("filter_id", inputs[-1])]
        inner = shapes[inputs[0]][-1] if "filter_id" not in ids else math.prod(weight[1:])
        flops = 2.0 * out * inner
        if kind == "XNNScaledDotProductAttention":
            flops = 4.0 * out * shapes[ids["key_id"]][-2]
    elif role == "arithmetic":
        flops = float(max(math.prod(shapes[i]) for i in (*outputs, *inputs)))
    return Operation(
        name=names[outputs[0]],
        kind=kind,
        role=role,
        inputs=tuple(names[i] for i in inputs),
        outputs=tuple(names[i] for i in outputs),
        flops=flops,
        delegated=True,
    )


def watch(graph: Graph, windows: Windows) -> dict[str, float]:
    """Value → largest magnitude, of what kernels and partitions give; inside a partition nothing is seen.

    Raises UsageError where the program's delegate is not in the wheel's runtime.
    """
    with quiet():
        import torch
        from executorch.devtools import Inspector
        from executorch.extension.pybindings import portable_lib

        peaks: dict[str, float] = {}
        for feeds in graph.feeds(windows):
            module = portable_lib._load_for_executorch(
                str(graph.path), enable_etdump=True, debug_buffer_size=graph.trace_bytes
            )
            try:
                module.forward(tuple(torch.from_numpy(array) for array in feeds))
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
                raise UsageError(f"the runtime here does not run it ({reason})") from None
            with tempfile.TemporaryDirectory() as scratch:
                trace, values = (str(Path(scratch, name)) for name in ("trace.etdp", "values.bin"))
                module.write_etdump_result_to_file(trace, values)
                for name, tensor in _logged(Inspector(etdump_path=trace, debug_buffer_path=values)):
                    if tensor.is_floating_point():
                        peaks[name] = max(peaks.get(name, 0.0), peak(tensor.float().numpy()))
    return peaks


def _logged(inspector: Any) -> Iterator[tuple[str, Any]]:
    for block in inspector.event_blocks:
        for event in block.events:
            for number, value in enumerate(event.debug_data or ()):
                if hasattr(value, "is_floating_point"):
                    yield f"{event.name} (instruction {event._instruction_id}, output {number})", value
