"""Gradient checkpointing (Chen et al. 2016): a layer's activations are computed again when they are needed.

Memory for one layer's activations in place of all layers', for about a third more computing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from pipeline.models.student import StudentModel


class _Within(torch.nn.Module):
    """A layer and how it is called, so that its weights can be put in place of those it has by then."""

    def __init__(self, layer: torch.nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, *args: Any) -> Any:
        return self.call(*args)


def recomputed(call: Callable[..., Any], *args: Any) -> Any:
    """Runs a layer now and once more for its gradients, both times with the weights it has now.

    `training.LowPrecision` lends a model its low-precision weights for the forward pass only, so the second
    time they have to be put back. `call` is a layer, or a partial whose first argument is one, as transformers
    hands it over.
    """
    layer: Any = call.args[0] if isinstance(call, partial) else call
    within = _Within(layer, call)
    weights: dict[str, torch.Tensor] = dict(within.named_parameters())

    def again(*inputs: Any) -> Any:
        return torch.func.functional_call(within, weights, inputs)

    return checkpoint(again, *args, use_reentrant=False)


def enable(model: torch.nn.Module, *, sharded: bool = False) -> None:
    """From here on the model's layers are recomputed while it trains.

    `sharded`: FSDP keeps the weights and gathers them for both passes itself.
    """
    how = partial(checkpoint, use_reentrant=False) if sharded else recomputed
    if isinstance(model, StudentModel):
        model.through = how
    elif isinstance(model, PreTrainedModel):
        model._set_gradient_checkpointing(True, how)
