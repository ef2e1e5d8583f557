"""prune: takes the least important heads and feed-forward neurons out of every layer; tensors get smaller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.models import checkpoint, student
from pipeline.models.student import Layer, LayerShape, StudentModel
from pipeline.recipe import AnyTask
from pipeline.recipe import Prune as Settings
from pipeline.tasks.base import Methods
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact, Progress

NEURON_STEP = 16
"""Neurons left are a multiple of this, which int8 kernels need to run at full speed."""


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Structured pruning by magnitude (weights alone) or by Taylor importance on calibration examples."""

    distilled: Artifact
    questions: ExampleSet[Any]
    task: AnyTask
    options: Settings

    name = "prune"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        shown = self.options.model_dump(mode="json")
        if self.options.importance == "taylor":
            shown["windows"] = list(methods_of(self.task).shaping().values())
        return shown

    def parents(self) -> Mapping[str, str]:
        found = {"student": self.distilled.sha256}
        if self.options.importance == "taylor":
            found["questions"] = self.questions.identity()
        return found

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        model = student.load(self.distilled.path)
        tokenizer = checkpoint.load_tokenizer(self.distilled.path)
        before = sum(p.numel() for p in model.parameters())
        if self.options.importance == "taylor":
            windows = self.questions.windows(tokenizer, self.task, progress)
            batches = [self.questions.collate([window]) for window in windows]
            heads, neurons = taylor_importance(model, batches, methods_of(self.task), progress)
        else:
            heads, neurons = magnitude_importance(model)
        smaller = cut(model, heads, neurons, self.options.keep_heads, self.options.keep_neurons)
        after = sum(p.numel() for p in smaller.parameters())
        student.save(smaller, out)
        checkpoint.save_tokenizer(tokenizer, out)
        return {"parameters": float(after), "removed_share": 1.0 - after / before}


Importance = list[torch.Tensor]
"""Per layer, one value a head or a neuron; higher matters more."""


def magnitude_importance(model: StudentModel) -> tuple[Importance, Importance]:
    """Norm of what a unit can write times the norm of what it reads: no data needed.

    Head: ‖W_value‖ · ‖W_output‖ over its slice. Neuron: ‖inner row‖ · ‖outer column‖.
    """
    heads, neurons = [], []
    for layer in _layers(model):
        attention, feed = layer.attention, layer.feed_forward
        value = attention.value.weight.detach().view(attention.heads, -1)
        output = attention.output.weight.detach().view(-1, attention.heads, attention.head_size)
        heads.append(value.norm(dim=1) * output.norm(dim=(0, 2)))
        neurons.append(feed.inner.weight.detach().norm(dim=1) * feed.outer.weight.detach().norm(dim=0))
    return heads, neurons


def taylor_importance(
    model: StudentModel, batches: list[dict[str, torch.Tensor]], methods: Methods, progress: Progress
) -> tuple[Importance, Importance]:
    """|∂loss/∂gate| with a gate of one on every head and neuron, summed over batches; a head's losses add up.

    Michel et al. 2019 (equation 2) for heads, Molchanov et al. 2017 for neurons.
    """
    layers = list(_layers(model))
    heads = [torch.zeros(layer.attention.heads) for layer in layers]
    neurons = [torch.zeros(layer.feed_forward.outer.in_features) for layer in layers]
    for done, batch in enumerate(batches, start=1):
        with _gates(layers) as (head_gates, neuron_gates):
            outputs = model(batch["input_ids"], batch["attention_mask"])
            torch.stack(methods.hard(outputs, batch)).sum().backward()
            for totals, gates in ((heads, head_gates), (neurons, neuron_gates)):
                for total, gate in zip(totals, gates, strict=True):
                    assert gate.grad is not None
                    total += gate.grad.abs()
        model.zero_grad()
        progress.update(done, len(batches), "weighing heads and neurons")
    return heads, neurons


@contextmanager
def _gates(layers: list[Layer]) -> Iterator[tuple[Importance, Importance]]:
    """Multiplies what enters each output projection by gates of one, whose gradients tell importance."""
    heads = [torch.ones(layer.attention.heads, requires_grad=True) for layer in layers]
    neurons = [torch.ones(layer.feed_forward.outer.in_features, requires_grad=True) for layer in layers]
    handles = []
    for layer, head, neuron in zip(layers, heads, neurons, strict=True):
        size = layer.attention.head_size
        handles.append(layer.attention.output.register_forward_pre_hook(_gate(head, size)))
        handles.append(layer.feed_forward.outer.register_forward_pre_hook(_gate(neuron, 1)))
    try:
        yield heads, neurons
    finally:
        for handle in handles:
            handle.remove()


def _gate(gate: torch.Tensor, width: int) -> Any:
    def apply(_module: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0] * gate.repeat_interleave(width),)

    return apply


def cut(
    model: StudentModel, heads: Importance, neurons: Importance, keep_heads: float, keep_neurons: float
) -> StudentModel:
    """A new student with the most important units of every layer, in their old order."""
    shapes, kept = [], []
    for layer, head, neuron in zip(_layers(model), heads, neurons, strict=True):
        some_heads = _best(head, max(1, round(keep_heads * len(head))))
        some_neurons = _best(neuron, neurons_kept(len(neuron), keep_neurons))
        shapes.append(LayerShape(len(some_heads), len(some_neurons)))
        size = layer.attention.head_size
        rows = (some_heads[:, None] * size + torch.arange(size)).ravel()
        kept.append((rows, some_neurons))
    smaller = student.build(replace(model.config, layers=tuple(shapes)))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for index, (rows, columns) in enumerate(kept):
        for name in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                at = f"layers.{index}.attention.{name}.{kind}"
                state[at] = state[at][rows]
        at = f"layers.{index}.attention.output.weight"
        state[at] = state[at][:, rows]
        for kind in ("weight", "bias"):
            at = f"layers.{index}.feed_forward.inner.{kind}"
            state[at] = state[at][columns]
        at = f"layers.{index}.feed_forward.outer.weight"
        state[at] = state[at][:, columns]
    smaller.load_state_dict(state)
    return smaller.eval()


def neurons_kept(total: int, share: float) -> int:
    """How many of a layer's neurons stay: the share, rounded to a multiple of 16, at least one step."""
    if share == 1.0:
        return total
    return min(total, max(NEURON_STEP, round(share * total / NEURON_STEP) * NEURON_STEP))


def _best(importance: torch.Tensor, count: int) -> torch.Tensor:
    return torch.sort(torch.argsort(importance, descending=True, stable=True)[:count]).values


def _layers(model: StudentModel) -> Iterator[Layer]:
    for layer in model.layers:
        assert isinstance(layer, Layer)
        yield layer
