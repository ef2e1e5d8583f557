"""The student laid out for Apple's Neural Engine: the same weights, channels first.

The principles are those of Apple's "Deploying Transformers on the Apple Neural Engine" (2022): tensors are
(batch, channels, 1, sequence) from the embeddings to the logits, a linear is a 1 × 1 convolution, attention
goes head by head over chunks of the channels, and its einsums need no transpose but one of the keys.

Legend: B batch, C channels, Q and K places of queries and keys, S sequence, D head size.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from pipeline.types import UsageError

# Modules are Any below: how they are built is known from pipeline.models.student, which nothing here imports.
_ENCODER = {"embeddings", "layers"}
_HEADS = {"qa_outputs", "classifier"}
_POOLING = {"pooler", "pooled"}
"""A linear between the first token and a classifier, and its activation."""
_MASKED = -1e4


def channels_first(module: nn.Module) -> nn.Module:
    """A student's module → one that maps the same ids and mask to the same logits, in this layout.

    Parameters keep their paths; those of a linear become (out, in, 1, 1). Raises UsageError, naming the part,
    for a module that is built otherwise than pipeline.models.student builds one.
    """
    parts = {name for name, _ in module.named_children()}
    unknown = sorted(parts - _ENCODER - _HEADS - _POOLING)
    if unknown or not parts >= _ENCODER or len(parts & _HEADS) != 1:
        odd = f"has {unknown[0]}" if unknown else f"has only {', '.join(sorted(parts))}"
        raise UsageError(
            f'export.coreml.layout = "ane" knows an encoder with one of {", ".join(sorted(_HEADS))}, '
            f'but the student {odd}; use layout = "plain"'
        )
    return _ChannelsFirst(copy.deepcopy(module)).eval()


def _convolution(linear: Any) -> nn.Conv2d:
    assert isinstance(linear, nn.Linear)
    made = nn.Conv2d(linear.in_features, linear.out_features, kernel_size=1, bias=linear.bias is not None)
    made.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=False)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
    return made


class _ChannelNorm(nn.Module):
    """Layer norm over the channels. (B, C, 1, S) → same."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        assert isinstance(norm, nn.LayerNorm)
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x_BC1S: torch.Tensor) -> torch.Tensor:
        centred = x_BC1S - x_BC1S.mean(dim=1, keepdim=True)
        variance = (centred * centred).mean(dim=1, keepdim=True)
        scaled: torch.Tensor = centred * torch.rsqrt(variance + self.eps)
        return scaled * self.weight[None, :, None, None] + self.bias[None, :, None, None]


class _Attention(nn.Module):
    """Self-attention, head by head. (B, C, 1, S) → same."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.head_size = int(attention.head_size)
        self.query, self.key = _convolution(attention.query), _convolution(attention.key)
        self.value, self.output = _convolution(attention.value), _convolution(attention.output)

    def forward(self, x_BC1S: torch.Tensor, bias_BK11: torch.Tensor) -> torch.Tensor:
        # Scaled before the product, whose sums might leave float16.
        queries = (self.query(x_BC1S) * (1.0 / math.sqrt(self.head_size))).split(self.head_size, dim=1)
        keys = self.key(x_BC1S).transpose(1, 3).split(self.head_size, dim=3)
        values = self.value(x_BC1S).split(self.head_size, dim=1)
        mixed = []
        for q_BD1Q, k_BK1D, v_BD1K in zip(queries, keys, values, strict=True):
            scores_BK1Q = torch.einsum("bchq,bkhc->bkhq", q_BD1Q, k_BK1D)
            weights_BK1Q = torch.softmax(scores_BK1Q + bias_BK11, dim=1)
            mixed.append(torch.einsum("bkhq,bchk->bchq", weights_BK1Q, v_BD1K))
        out_BC1S: torch.Tensor = self.output(torch.cat(mixed, dim=1))
        return out_BC1S


class _FeedForward(nn.Module):
    def __init__(self, feed_forward: Any) -> None:
        super().__init__()
        self.inner, self.outer = _convolution(feed_forward.inner), _convolution(feed_forward.outer)
        self.activation = feed_forward.activation

    def forward(self, x_BC1S: torch.Tensor) -> torch.Tensor:
        out_BC1S: torch.Tensor = self.outer(self.activation(self.inner(x_BC1S)))
        return out_BC1S


class _Layer(nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention, self.feed_forward = _Attention(layer.attention), _FeedForward(layer.feed_forward)
        self.attention_norm = _ChannelNorm(layer.attention_norm)
        self.feed_forward_norm = _ChannelNorm(layer.feed_forward_norm)

    def forward(self, x_BC1S: torch.Tensor, bias_BK11: torch.Tensor) -> torch.Tensor:
        x_BC1S = self.attention_norm(x_BC1S + self.attention(x_BC1S, bias_BK11))
        out_BC1S: torch.Tensor = self.feed_forward_norm(x_BC1S + self.feed_forward(x_BC1S))
        return out_BC1S


class _ChannelsFirst(nn.Module):
    """input_ids, attention_mask: int (B, S) → what the student's head gives."""

    def __init__(self, student: Any) -> None:
        super().__init__()
        self.embeddings = student.embeddings
        # Sums of embeddings are gathered rows, sequence first; only from their norm on are channels first.
        self.norm, self.embeddings.norm = _ChannelNorm(student.embeddings.norm), nn.Identity()
        self.layers = nn.ModuleList(_Layer(layer) for layer in student.layers)
        self.answers = hasattr(student, "qa_outputs")
        pooler = getattr(student, "pooler", None)
        self.pooler = None if pooler is None else _convolution(pooler)
        self.pooled = getattr(student, "pooled", None)
        if self.answers:
            self.qa_outputs = _convolution(student.qa_outputs)
        else:
            self.classifier = _convolution(student.classifier)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x_BC1S = self.norm(self.embeddings(input_ids).transpose(1, 2)[:, :, None])
        bias_BK11 = (1.0 - attention_mask.to(x_BC1S.dtype))[:, :, None, None] * _MASKED
        for layer in self.layers:
            x_BC1S = layer(x_BC1S, bias_BK11)
        if not self.answers:
            first_BC11 = x_BC1S[:, :, :, :1]
            if self.pooler is not None and self.pooled is not None:
                first_BC11 = self.pooled(self.pooler(first_BC11))
            return (self.classifier(first_BC11)[:, :, 0, 0],)
        start, end = self.qa_outputs(x_BC1S).split(1, dim=1)
        return start[:, 0, 0], end[:, 0, 0]
