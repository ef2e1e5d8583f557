"""ExecuTorch with XNNPACK: pt2e marks the int8 linears, XNNPACK's partitioner takes all it can run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.base import (
    SIGNATURES,
    Exporter,
    Lowered,
    cut,
    int8_weights,
    missing,
    padded,
    quiet,
    traced_longest,
    versions,
)
from exporters.executorch_beside import MAX_LENGTH, bundle, constant_methods, record
from exporters.executorch_xnnpack import partitioner
from exporters.int8_modules import int8_table
from exporters.rewrites import heads_apart, norms_as_products
from pipeline.types import Activations, Student

if TYPE_CHECKING:
    import torch

MODULES = ("executorch", "torchao", "torch")
SHORTEST = 2
"""torch.export makes a dimension of 1 a constant, so that a program takes at least two tokens."""


class ExecutorchExporter:
    """Any length: int32 (1, seq) twice → the student's outputs, seq from SHORTEST to max_length."""

    target = "executorch"
    suffix = ".pte"
    packages: tuple[str, ...] = ("torch", "executorch", "torchao")
    activations: Activations = "int8-row"

    def why_unavailable(self) -> str | None:
        return missing(self.target, MODULES)

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        path = out / f"{student.name}{self.suffix}"
        with quiet():
            program = _program(_quantized(student), student.max_length, constant_methods(student))
            path.write_bytes(program.buffer)
            beside = (
                bundle(student, program, path.with_suffix(".bpte")),
                record(program, path.with_suffix(".etrecord")),
            )
        return Lowered(
            target=self.target,
            path=path,
            size_bytes=path.stat().st_size,
            tools=versions(self.packages),
            companions=beside,
        )

    def runner(self, program: Path, *, threads: int = 1) -> ExecutorchRunner:
        return ExecutorchRunner(program, threads)


EXPORTER: Exporter = ExecutorchExporter()


class ExecutorchRunner:
    """The wheel's runtime with the XNNPACK delegate. Its thread pool is one per process."""

    emulated = False
    note = "ExecuTorch's runtime with the XNNPACK delegate, as on a phone's CPU."

    def __init__(self, program: Path, threads: int) -> None:
        with quiet():
            import torch
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime

            portable_lib._unsafe_reset_threadpool(threads)
            self._program = Runtime.get().load_program(program)
            self._method = self._program.load_method("forward")
        self._tensor = torch.from_numpy
        self.lengths = tuple(range(SHORTEST, max(self._longest(), SHORTEST) + 1))

    def _longest(self) -> int:
        """What the program says of itself, or else what its input holds."""
        if MAX_LENGTH in self._program.method_names:
            return int(self._program.load_method(MAX_LENGTH).execute([])[0])
        return int(self._method.metadata.input_tensor_meta(0).sizes()[1])

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        window = padded(input_ids, attention_mask, self.lengths)
        outputs = self._method.execute([self._tensor(array) for array in window])
        (names,) = (names for names in SIGNATURES if len(names) == len(outputs))  # they have no names here
        pairs = zip(names, outputs, strict=True)
        return tuple(cut(name, output.numpy(), input_ids.shape[1]) for name, output in pairs)


def _quantized(student: Student) -> torch.fx.GraphModule:
    """The student with int8 tables of the plan, and the linears of the plan between quantize operations."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    module = copy.deepcopy(student.module).eval()
    for path, weight in int8_weights(student, "embedding").items():
        module.set_submodule(path, _int8_table(weight))
    quantizer = XNNPACKQuantizer()
    for path in int8_weights(student, "linear"):
        quantizer.set_module_name(path, _dynamic_int8())
    captured = _exported(module, student.max_length).module()
    heads_apart(captured)
    norms_as_products(captured)
    prepared = prepare_pt2e(captured, quantizer)
    with torch.no_grad():
        prepared(*_window(traced_longest(student.max_length)))
    converted: torch.fx.GraphModule = convert_pt2e(prepared)
    return converted


def _dynamic_int8() -> Any:
    """XNNPACK's dynamic int8 per channel, on the student's own grid.

    The quantizer's floor for scales (2⁻¹²) would move rows of small weights to other integers.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver

    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    weight = dataclasses.replace(
        config.weight, observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=1e-30)
    )
    return dataclasses.replace(config, weight=weight)


def _int8_table(weight: torch.Tensor) -> torch.nn.Module:
    """Int8 rows and their scales; rows become float by an operation of the delegate, on a grid of step 1."""
    import torch
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  registers quantized_decomposed

    as_float = torch.ops.quantized_decomposed.dequantize_per_tensor.default
    return int8_table(weight, lambda rows: as_float(rows, 1.0, 0, -128, 127, torch.int8))


def _window(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    return torch.zeros(1, length, dtype=torch.int32), torch.ones(1, length, dtype=torch.int32)


def _exported(module: torch.nn.Module, longest: int) -> torch.export.ExportedProgram:
    import torch

    longest = traced_longest(longest)
    length = torch.export.Dim("length", min=SHORTEST, max=longest)
    return torch.export.export(module, _window(longest), dynamic_shapes=({1: length}, {1: length}))


def _program(module: torch.nn.Module, longest: int, constants: Mapping[str, Any]) -> Any:
    """The program's manager; weights of the delegate lie in their own segment, which a phone maps."""
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    edge = to_edge_transform_and_lower(
        _exported(module, longest),
        transform_passes=[_drop_idle_expands],
        partitioner=[partitioner()],
        constant_methods=dict(constants),
        generate_etrecord=True,
    )
    return edge.to_executorch(ExecutorchBackendConfig(extract_delegate_segments=True))


def _drop_idle_expands(graph: torch.fx.GraphModule) -> Any:
    """Drops expansions to the same shape, which matrix products bring along.

    The runtime would copy the attention weights for each, a seventh of the time at 384 tokens.
    """
    from executorch.exir.dialects._ops import ops
    from torch.fx.passes.infra.pass_base import PassResult

    idle = [
        node
        for node in graph.graph.find_nodes(op="call_function", target=ops.edge.aten.expand_copy.default)
        if tuple(node.meta["val"].shape) == tuple(node.args[0].meta["val"].shape)
    ]
    for node in idle:
        node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)
    graph.recompile()
    return PassResult(graph, modified=bool(idle))
