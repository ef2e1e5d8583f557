"""A program of large linears and next to nothing else: what a runtime reaches on a device with these products.

Beside it a transformer's share of that rate is the height of its point under a roofline (Williams et al. 2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pipeline.models.student import MASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearsConfig:
    """Widths of the stack: hidden → neurons → hidden, `pairs` times."""

    vocabulary: int
    hidden: int
    neurons: int
    pairs: int


class Linears(nn.Module):
    """Token embeddings, linears with a ReLU after each, and the head of question answering.

    input_ids, attention_mask: int (B, S) → start_logits, end_logits: float (B, S), as a student's.
    """

    outputs = ("start_logits", "end_logits")

    def __init__(self, config: LinearsConfig) -> None:
        super().__init__()
        self.config = config
        self.word = nn.Embedding(config.vocabulary, config.hidden)
        widths = [(config.hidden, config.neurons), (config.neurons, config.hidden)] * config.pairs
        self.stack = nn.ModuleList(nn.Linear(wide, out) for wide, out in widths)
        self.qa_outputs = nn.Linear(config.hidden, 2)
        for linear in (*self.stack, self.qa_outputs):
            assert isinstance(linear, nn.Linear)
            # He et al. 2015: values keep their size down the stack, and none becomes a slow subnormal number.
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x_BSE = self.word(input_ids)
        for linear in self.stack:
            x_BSE = torch.relu(linear(x_BSE))
        logits = self.qa_outputs(x_BSE)
        bias_BS = (1.0 - attention_mask.to(logits.dtype)) * MASKED
        return logits[:, :, 0] + bias_BS, logits[:, :, 1] + bias_BS
