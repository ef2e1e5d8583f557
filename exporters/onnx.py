"""ONNX: the student as an int8 graph of standard operators, for ONNX Runtime on phones, desktops and the web.

Full ONNX Runtime packages read `.onnx` files as they are; the `.ort` format is for reduced builds only
(https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.base import (
    DESCRIPTIONS,
    INPUTS,
    Exporter,
    Lowered,
    cut,
    int8_rows,
    int8_weights,
    missing,
    padded,
    quiet,
    signature,
    traced_longest,
    versions,
)
from exporters.int8_modules import int8_table
from pipeline.types import Activations, Student, UsageError

if TYPE_CHECKING:
    import onnx
    import torch

MODULES = ("onnx", "onnxruntime", "onnxscript", "torch")
OPSET, IR_VERSION = 18, 8
"""What ONNX Runtime reads since 1.14 (February 2023)."""
SHORTEST, TRACED_FROM = 1, 2
"""The program takes one token; torch.export would make a dimension of 1 a constant."""
LONGEST_KEY = "max_length"
"""Of the model's metadata."""


class OnnxExporter:
    """Any length: int32 (1, length) twice → the student's outputs, length from 1 to max_length."""

    target = "onnx"
    suffix = ".onnx"
    packages: tuple[str, ...] = ("torch", "onnx", "onnxruntime", "onnxscript")
    activations: Activations = "int8-tensor"
    """What becomes of the input of a linear with dynamic int8 activations."""

    def why_unavailable(self) -> str | None:
        return missing(self.target, MODULES)

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        path = out / f"{student.name}{self.suffix}"
        with quiet():
            model = _described(_graph(_quantized(student), student), student)
        path.write_bytes(model.SerializeToString(deterministic=True))
        return Lowered(
            target=self.target, path=path, size_bytes=path.stat().st_size, tools=versions(self.packages)
        )

    def runner(self, program: Path, *, threads: int = 1) -> OnnxRunner:
        return OnnxRunner(program, threads)


EXPORTER: Exporter = OnnxExporter()


class OnnxRunner:
    """ONNX Runtime on the CPU, with its own optimisations of the graph."""

    emulated = False
    note = "ONNX Runtime's CPU provider, as on a phone's CPU."

    def __init__(self, program: Path, threads: int) -> None:
        with quiet():
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.use_deterministic_compute = True
            try:
                self._session = onnxruntime.InferenceSession(
                    str(program), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # it has a class for each of its status codes, and no common one
                if not type(error).__module__.startswith("onnxruntime"):
                    raise
                raise UsageError(
                    f"{program} is no ONNX model that ONNX Runtime can run: {type(error).__name__}"
                ) from None
        names = [output.name for output in self._session.get_outputs()]
        self._outputs = signature(names)
        longest = self._session.get_modelmeta().custom_metadata_map.get(LONGEST_KEY, "")
        if not longest.isdecimal():
            raise UsageError(f"{program} does not say its longest window; export it again")
        self.lengths = tuple(range(SHORTEST, int(longest) + 1))

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        window = padded(input_ids, attention_mask, self.lengths)
        outputs = self._session.run(list(self._outputs), dict(zip(INPUTS, window, strict=True)))
        pairs = zip(self._outputs, outputs, strict=True)
        return tuple(cut(name, np.asarray(output), input_ids.shape[1]) for name, output in pairs)


def _quantized(student: Student) -> torch.nn.Module:
    """A copy of the student with the record's own integers and scales in place of int8 weights."""
    import torch

    module = copy.deepcopy(student.module).eval()
    for path, weight in int8_weights(student, "embedding").items():
        module.set_submodule(path, int8_table(weight))
    for path, weight in int8_weights(student, "linear").items():
        linear = module.get_submodule(path)
        assert isinstance(linear, torch.nn.Linear)
        module.set_submodule(path, _int8_linear(weight, linear.bias))
    return module


def _int8_linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Module:
    """(…, in) → (…, out): the input to uint8 in each call, an integer product, a scale for each output.

    ONNX Runtime fuses the chain into one operation. It has a meaning in the exported graph only.
    """
    import torch
    from torch.onnx import ops

    class Int8Linear(torch.nn.Module):
        columns: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            rows, scale = int8_rows(weight)
            self.register_buffer("columns", rows.T.contiguous())
            self.register_buffer("scale", scale[:, 0].contiguous())
            self.bias = bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps, step, zero = ops.symbolic_multi_out(
                "DynamicQuantizeLinear",
                (x,),
                dtypes=(torch.uint8, torch.float32, torch.uint8),
                shapes=(x.shape, (), ()),
                version=11,
            )
            product = ops.symbolic(
                "MatMulInteger",
                (steps, self.columns, zero),
                dtype=torch.int32,
                shape=(*x.shape[:-1], self.columns.shape[1]),
                version=10,
            )
            out = product.to(torch.float32) * (step * self.scale)
            return out if self.bias is None else out + self.bias

    return Int8Linear()


def _graph(module: torch.nn.Module, student: Student) -> onnx.ModelProto:
    """The module as ONNX, sequence length free, inputs and outputs by name."""
    import torch

    longest = traced_longest(student.max_length)
    length = torch.export.Dim("length", min=TRACED_FROM, max=longest)
    window = torch.zeros(1, longest, dtype=torch.int32)
    program = torch.onnx.export(
        module,
        (window, torch.ones_like(window)),
        dynamo=True,
        input_names=list(INPUTS),
        output_names=list(student.outputs),
        dynamic_shapes=({1: length}, {1: length}),
        opset_version=OPSET,
        external_data=False,
        verbose=False,
        custom_translation_table={torch.ops.aten.gelu.default: _gelu()},
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def _gelu() -> Callable[..., Any]:
    """GELU in the order of operations that ONNX Runtime recognises and fuses."""
    from onnxscript import opset18

    def gelu(x: Any, approximate: str = "none") -> Any:
        if approximate == "tanh":
            cubed = opset18.Mul(opset18.Mul(opset18.Mul(x, x), x), opset18.Constant(value_float=0.044715))
            inner = opset18.Mul(opset18.Add(x, cubed), opset18.Constant(value_float=math.sqrt(2 / math.pi)))
            share = opset18.Tanh(inner)
        else:
            share = opset18.Erf(opset18.Div(x, opset18.Constant(value_float=math.sqrt(2))))
        whole = opset18.Mul(x, opset18.Add(share, opset18.Constant(value_float=1.0)))
        return opset18.Mul(whole, opset18.Constant(value_float=0.5))

    return gelu


def _described(model: onnx.ModelProto, student: Student) -> onnx.ModelProto:
    """The model with what a reader should know, and without the exporter's traces of source files."""
    graph = model.graph
    for traced in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        traced.ClearField("metadata_props")
    model.ir_version = IR_VERSION
    graph.name = student.name
    model.doc_string = graph.doc_string = student.metadata.get("description", "")
    for value in (*graph.input, *graph.output):
        value.doc_string = DESCRIPTIONS[value.name]
    entries = {**student.metadata, LONGEST_KEY: str(student.max_length)}
    del model.metadata_props[:]
    for key, text in sorted(entries.items()):
        model.metadata_props.add(key=key, value=str(text))
    return model
