"""The tools' default flows, as their documentation shows them: what our programs are measured against.

One thing is ours in all of them, because Hugging Face's own handling of a two-dimensional mask is refused by
some of these converters: a thin wrapper makes the additive four-dimensional mask that the models take too.
Nothing else is tuned, and nothing is switched off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from exporters.base import INPUTS, PER_TOKEN, quiet
from pipeline.models.student import MASKED

Flow = Callable[[nn.Module, tuple[torch.Tensor, ...], Path], None]
"""Model, sample inputs, and the program's path, which is written."""


class FourDimensionalMask(nn.Module):
    """input_ids, attention_mask: int32 (1, seq) → start_logits, end_logits: float32 (1, seq)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        bias = (1.0 - attention_mask.float())[:, None, None, :] * MASKED
        found = self.model(input_ids=input_ids, attention_mask=bias)
        return found.start_logits, found.end_logits


def tflite(model: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
    """litert_torch.convert (ai.google.dev/edge/litert/models/convert_pytorch), then the quantizer's recipe
    dynamic_wi8_afp32 (README of google-ai-edge/ai-edge-quantizer)."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    converted = path.with_suffix(".float.tflite")
    litert_torch.convert(model, inputs).export(str(converted))
    dynamic = quantizer.Quantizer(str(converted))
    dynamic.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    dynamic.quantize().export_model(str(path))
    converted.unlink()


def executorch(model: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
    """XNNPACKQuantizer with pt2e, dynamic activations, then XnnpackPartitioner
    (docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-quantization.html)."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True))
    prepared = prepare_pt2e(torch.export.export(model, inputs).module(), quantizer)
    with torch.no_grad():
        prepared(*inputs)
    exported = torch.export.export(convert_pt2e(prepared), inputs)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    path.write_bytes(bytes(lowered.to_executorch().buffer))


def onnxruntime(model: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
    """torch.onnx.export, then quantize_dynamic with its own settings
    (onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

    The length is dynamic, as Hugging Face exports its models, so that this peer never has to pad.
    """
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    length = torch.export.Dim("length", min=2, max=inputs[0].shape[1])
    shapes: Any = {name: {1: length} for name in INPUTS}
    converted = path.with_suffix(".float.onnx")
    torch.onnx.export(
        model,
        inputs,
        str(converted),
        input_names=list(INPUTS),
        output_names=list(PER_TOKEN),
        dynamic_shapes=shapes,
        external_data=False,
        verbose=False,
    )
    quantization.quantize_dynamic(str(converted), str(path))
    converted.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One runtime's flow, the suffix of its programs, and the packages that shape them."""

    flow: Flow
    suffix: str
    packages: tuple[str, ...]


TOOLS: Mapping[str, Tool] = {
    "tflite": Tool(
        flow=tflite,
        suffix=".tflite",
        packages=("litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer"),
    ),
    "executorch": Tool(flow=executorch, suffix=".pte", packages=("executorch", "torchao")),
    "onnxruntime": Tool(flow=onnxruntime, suffix=".onnx", packages=("onnx", "onnxruntime", "onnxscript")),
}


def convert(runtime: str, model: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
    """Writes the runtime's program of a model in evaluation mode, and keeps what its tools print quiet."""
    with quiet():
        TOOLS[runtime].flow(model, inputs, path)


def window(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample inputs: int32 ids and mask, (1, length)."""
    return torch.zeros(1, length, dtype=torch.int32), torch.ones(1, length, dtype=torch.int32)
