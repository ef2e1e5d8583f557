"""TFLite for LiteRT: litert-torch lowers the student, ai-edge-quantizer stores its weights as int8."""

from __future__ import annotations

import atexit
import functools
import math
import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters import tflite_file
from exporters.base import (
    INPUTS,
    Exporter,
    Lowered,
    cut,
    int8_weights,
    missing,
    padded,
    quiet,
    signature,
    versions,
)
from exporters.rewrites import heads_apart
from pipeline.types import Activations, PipelineError, Student

if TYPE_CHECKING:
    import torch

MODULES = ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")
WEIGHT_BITS = 8
APART_FROM = 256
"""Tokens from which attention is computed head by head: up to there, all heads' scores fit a core's cache."""
AT_ONCE = 4
"""Tensors joined by one operation: XNNPACK takes up to five."""
CACHE_IN_MEMORY = ":memory"
"""Where XNNPACK keeps packed weights; a path would keep them from one start to the next."""
OPERATIONS = {"linear": "FULLY_CONNECTED", "embedding": "EMBEDDING_LOOKUP"}
"""Role in the plan → the operation that uses such a weight, as its second input."""


class TfliteExporter:
    """A signature seq_N for every length N of the student: int32 (1, N) twice → the student's outputs.

    All of them read one copy of the weights.
    """

    target = "tflite"
    suffix = ".tflite"
    packages: tuple[str, ...] = (
        "torch",
        "litert-torch",
        "litert-converter",
        "ai-edge-litert",
        "ai-edge-quantizer",
        "flatbuffers",
    )
    activations: Activations = "int8-row"

    def why_unavailable(self) -> str | None:
        return missing(self.target, MODULES)

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        path = out / f"{student.name}{self.suffix}"
        weights = {role: int8_weights(student, role) for role in OPERATIONS}
        path.write_bytes(tflite_file.finished(_quantized(_converted(student), weights), student))
        return Lowered(
            target=self.target, path=path, size_bytes=path.stat().st_size, tools=versions(self.packages)
        )

    def runner(self, program: Path, *, threads: int = 1) -> TfliteRunner:
        return TfliteRunner(program, threads)


EXPORTER: Exporter = TfliteExporter()


class TfliteRunner:
    """LiteRT's CompiledModel on the CPU, as in an Android app.

    A window runs in the shortest signature that holds it. XNNPACK packs weights into layouts of its own; its
    cache, here in memory, lets all signatures use the same ones.
    """

    emulated = False
    note = "LiteRT's CompiledModel with XNNPACK, as on a phone's CPU."

    def __init__(self, program: Path, threads: int) -> None:
        with quiet():
            from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options

            cpu = CpuOptions(num_threads=threads, xnnpack_weight_cache_path=CACHE_IN_MEMORY)
            options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu)
            model = CompiledModel.from_file(str(program), environment=_environment(), options=options)
        self._signatures = {
            int(model.get_input_tensor_details(key)[INPUTS[0]]["shape"][1]): _Signature(model, key)
            for key in model.get_signature_list()
        }
        self.lengths: tuple[int, ...] = tuple(sorted(self._signatures))

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        window = padded(input_ids, attention_mask, self.lengths)
        run = self._signatures[window[0].shape[1]]
        return tuple(cut(name, output, input_ids.shape[1]) for name, output in run(window))


class _Signature:
    """One signature of a loaded model, with its buffers, made when it is first run."""

    def __init__(self, model: Any, key: str) -> None:
        self._model, self._index = model, model.get_signature_index(key)
        names = model.get_signature_list()[key]
        self._inputs: list[str] = names["inputs"]
        details = model.get_output_tensor_details(key)
        self._outputs = [(name, tuple(details[name]["shape"])) for name in signature(names["outputs"])]
        self._places = [names["outputs"].index(name) for name, _ in self._outputs]
        self._buffers: tuple[list[Any], list[Any]] | None = None

    def __call__(self, window: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
        """int32 (1, N) twice → the outputs with their names, float32."""
        if self._buffers is None:
            with quiet():
                made = self._model.create_input_buffers(self._index)
                self._buffers = made, self._model.create_output_buffers(self._index)
                self._run(window, *self._buffers)
        else:
            self._run(window, *self._buffers)
        outputs = self._buffers[1]
        for (name, shape), place in zip(self._outputs, self._places, strict=True):
            yield name, outputs[place].read(math.prod(shape), np.float32).reshape(shape)

    def _run(self, window: tuple[np.ndarray, np.ndarray], inputs: list[Any], outputs: list[Any]) -> None:
        given = dict(zip(INPUTS, window, strict=True))
        for buffer, name in zip(inputs, self._inputs, strict=True):
            buffer.write(given[name])
        self._model.run_by_index(self._index, inputs, outputs)


@functools.cache
def _environment() -> Any:
    """LiteRT's own state, one for the process. It reports its end on the terminal, when Python has ended."""
    from ai_edge_litert.environment import Environment

    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    return Environment.create()


def _converted(student: Student) -> bytes:
    """The float program, a signature for each length."""
    with quiet():
        import litert_torch
        import torch

        made: Any = litert_torch
        for length in student.lengths or (student.max_length,):
            window = torch.zeros(1, length, dtype=torch.int32)
            samples = {"input_ids": window, "attention_mask": torch.ones_like(window)}
            graph = torch.export.export(_named(student), (), samples).module()
            if length >= APART_FROM:
                heads_apart(graph, bias_in_product=False, join=_joined)
            _keep_weights(graph)
            _keep_lookups(graph)
            made = made.signature(f"seq_{length}", graph, sample_kwargs=samples)
        return bytes(made.convert().model_content())


def _named(student: Student) -> torch.nn.Module:
    """The student with outputs that carry their names, which become the signature's."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = student.module

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            return dict(zip(student.outputs, self.student(input_ids, attention_mask), strict=True))

    return Named().eval()


def _joined(heads: Sequence[torch.fx.Node]) -> torch.fx.Node:
    """Heads (1, S, D) side by side, some at a time; the converter would make one operation of it again."""
    import torch

    graph, cat = heads[0].graph, torch.ops.aten.cat.default
    parts = list(heads)
    while len(parts) > 1:
        groups = [parts[i : i + AT_ONCE] for i in range(0, len(parts), AT_ONCE)]
        parts = [graph.call_function(cat, (group, 2)) if len(group) > 1 else group[0] for group in groups]
        parts = _hidden(parts)
    return parts[0]


def _hidden(tensors: list[torch.fx.Node]) -> list[torch.fx.Node]:
    """The same tensors, through a barrier that the converter's optimiser does not look behind."""
    from litert_torch.backend.optimization_barrier import optimization_barrier_op

    if len(tensors) == 1:
        return tensors
    graph = tensors[0].graph
    all_of_them = graph.call_function(optimization_barrier_op, (tensors,))
    return [graph.call_function(operator.getitem, (all_of_them, i)) for i in range(len(tensors))]


def _keep_weights(graph: torch.fx.GraphModule) -> None:
    """Hides the linears' weights from the converter's optimiser.

    It would multiply the scales of the layer norms and of the attention into them, and the products no
    longer lie on the int8 grid.
    """
    import torch
    from litert_torch.backend.optimization_barrier import optimization_barrier_op

    for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.linear.default):
        weight = node.args[1]
        with graph.graph.inserting_before(node):
            # Lowering gives a list back, which getitem expects, only for two tensors and more.
            both = graph.graph.call_function(optimization_barrier_op, ([weight, weight],))
            node.update_arg(1, graph.graph.call_function(operator.getitem, (both, 0)))
    graph.recompile()


def _keep_lookups(graph: torch.fx.GraphModule) -> None:
    """Makes lookups of known rows (the positions) depend on the ids.

    The converter would compute them ahead of time and store floats. Adding a comparison that is false for
    every id keeps the lookup, whose table can be int8.
    """
    import torch

    aten = torch.ops.aten
    (ids,) = graph.graph.find_nodes(op="placeholder", target=INPUTS[0])
    for node in graph.graph.find_nodes(op="call_function", target=aten.embedding.default):
        if _depends_on_inputs(node.args[1]):
            continue
        with graph.graph.inserting_before(node):
            row = graph.graph.call_function(aten.select.int, (ids, 0, 0))
            negative = graph.graph.call_function(aten.lt.Scalar, (row, 0))
            zeros = graph.graph.call_function(aten.to.dtype, (negative, torch.int32))
            node.update_arg(1, graph.graph.call_function(aten.add.Tensor, (node.args[1], zeros)))
    graph.recompile()


def _depends_on_inputs(node: torch.fx.Node) -> bool:
    return node.op == "placeholder" or any(map(_depends_on_inputs, node.all_input_nodes))


def _quantized(program: bytes, weights: Mapping[str, Mapping[str, torch.Tensor]]) -> bytes:
    """The same program with these weights (role → module → weight) as int8, one scale a row.

    Linears quantize their input per call; lookups give the row back as float. All else stays float.
    """
    if not any(weights.values()):
        return program
    with quiet():
        from ai_edge_quantizer.qtyping import TFLOperationName
        from ai_edge_quantizer.quantizer import Quantizer

        quantizer = Quantizer(bytearray(program))
        for role, operation in OPERATIONS.items():
            for scope in _scopes(program, operation, weights[role]):
                quantizer.add_dynamic_config(
                    regex=f"^{re.escape(scope)}$",
                    operation_name=TFLOperationName(operation),
                    num_bits=WEIGHT_BITS,
                )
        return bytes(quantizer.quantize().quantized_model)


def _scopes(program: bytes, kind: str, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """The names by which the quantizer addresses the operations of a kind that use these weights.

    The converter joins the names of everything it fuses, so that a name mentions several modules; an
    operation is recognised by its weight instead.
    """
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(bytearray(program))
    scopes, used = [], set()
    for graph in model.subgraphs:
        for operation in graph.operators:
            code = model.operatorCodes[operation.opcodeIndex].builtinCode
            if flatbuffers.TFL_OP_CODE_TO_NAME.get(code) != kind:
                continue
            table = flatbuffers.get_tensor_data(graph.tensors[operation.inputs[1]], model.buffers)
            owners = {path for path, weight in weights.items() if np.array_equal(table, weight.numpy())}
            if owners:
                scopes.append(flatbuffers.get_op_scope(operation, graph.tensors))
                used |= owners
    if lost := sorted(set(weights) - used):
        raise PipelineError(f"the TFLite converter changed the weight of {lost[0]}, which then is not int8")
    return scopes
