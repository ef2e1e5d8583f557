"""baseline: BERT-base, a tiny BERT or a stack of linears as one runtime's program, to compare with there.

Its weights are random: size and latency follow from the shape alone, answers and accuracy mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from exporters.base import Exporter
from pipeline.models import compressed
from pipeline.models.linears import Linears, LinearsConfig
from pipeline.models.student import LayerShape, StudentConfig, StudentModel
from pipeline.models.student import build as build_student
from pipeline.numerics import on_grid
from pipeline.recipe import Quantize
from pipeline.types import CoreMLChoices, Progress, Quantization, Student

Precision = Literal["int8", "float32"]
Bert = Literal["bert-base", "bert-tiny"]
Shape = Literal[Bert, "linears"]

VOCABULARY = 30522
SHAPES: Mapping[Bert, StudentConfig] = {
    "bert-base": StudentConfig(
        vocabulary=VOCABULARY,
        positions=512,
        hidden=768,
        head_size=64,
        layers=(LayerShape(heads=12, neurons=3072),) * 12,
    ),
    "bert-tiny": StudentConfig(
        vocabulary=VOCABULARY,
        positions=512,
        hidden=128,
        head_size=64,
        layers=(LayerShape(heads=2, neurons=512),) * 2,
    ),
}
LINEARS = LinearsConfig(vocabulary=VOCABULARY, hidden=768, neurons=3072, pairs=4)
"""The feed-forward halves of four of BERT-base's layers: as wide, too large for a cache, no attention. 99.9 %
of all multiply-adds are theirs, even where the scaling of embeddings and of int8 inputs is counted."""
TITLES: Mapping[Shape, str] = {
    "bert-base": "BERT-base",
    "bert-tiny": "BERT-tiny (2 layers)",
    "linears": "a stack of large linears",
}
"""What a report calls them."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Depends on no other part of a recipe: once made, every recipe that measures at this length finds it."""

    shape: Shape
    exporter: Exporter
    precision: Precision
    length: int
    """Tokens of the longest window."""
    lengths: tuple[int, ...] = ()
    """Those of a program whose shapes are fixed, ascending, `length` the last; none stands for whatever the
    target makes of `length` alone: a range up to it, or only it."""

    name = "baseline"
    version = 2

    def settings(self) -> Mapping[str, Any]:
        return {
            "shape": self.shape,
            "target": self.exporter.target,
            "precision": self.precision,
            "length": self.length,
            **({"lengths": list(self.lengths)} if self.lengths else {}),
        }

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ("torch", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        progress.update(0, 2, f"building {TITLES[self.shape]} with random weights")
        student = self.student()
        progress.update(1, 2, f"lowering to {self.exporter.target}")
        lowered = self.exporter.lower(student, work)
        lowered.path.rename(out / lowered.path.name)
        progress.update(2, 2)
        return {
            "size_bytes": float(lowered.size_bytes),
            "parameters": float(sum(p.numel() for p in student.module.parameters())),
        }

    def student(self) -> Student:
        """What is handed to the exporter."""
        model = build(self.shape)
        return Student(
            name=f"{self.shape}_seq{self.length}_{self.precision}_{self.exporter.target}",
            module=model,
            quantization=quantize(model) if self.precision == "int8" else Quantization(),
            max_length=self.length,
            lengths=self.lengths,
            metadata={"description": note(self.shape)},
            coreml=CoreMLChoices(lengths="enumerated" if self.lengths else "range"),
        )


def build(shape: Shape) -> StudentModel | Linears:
    """The student's graph in that shape, or the stack of linears: seeded random parameters.

    Without token types and pooler BERT-base has 108.9 M of them, BERT-tiny 4.4 M; the linears have 42.3 M.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (Linears(LINEARS) if shape == "linears" else build_student(SHAPES[shape])).eval()


def note(shape: Shape) -> str:
    """What to think of figures of this baseline."""
    title = TITLES[shape]
    return f"{title[0].upper()}{title[1:]} has random weights: its size and latency count, its answers do not"


def quantize(model: StudentModel | Linears) -> Quantization:
    """Puts every linear and embedding on the int8 grid, as stage quantize does, and returns the record."""
    record = compressed.plan(model, Quantize())
    with torch.no_grad():
        for name in record.tensors:
            weight = model.get_parameter(name)
            weight.copy_(on_grid(weight))
    return record


def precision_of(options: Quantize) -> Precision:
    """The precision in which a recipe's student computes, and so the one the baseline is to be compared in."""
    return options.linears
