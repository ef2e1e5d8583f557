"""baseline: BERT-base (or a tiny BERT) as one runtime's program, to compare with in that runtime.

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
from pipeline.models.student import LayerShape, StudentConfig, StudentModel
from pipeline.models.student import build as build_student
from pipeline.numerics import on_grid
from pipeline.recipe import Quantize
from pipeline.types import Progress, Quantization, Student

Precision = Literal["int8", "float32"]
Shape = Literal["bert-base", "bert-tiny"]

VOCABULARY = 30522
SHAPES: Mapping[Shape, StudentConfig] = {
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
TITLES: Mapping[Shape, str] = {"bert-base": "BERT-base", "bert-tiny": "BERT-tiny (2 layers)"}
"""What a report calls them."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Depends on no other part of a recipe: once made, every recipe that measures at this length finds it."""

    shape: Shape
    exporter: Exporter
    precision: Precision
    length: int

    name = "baseline"
    version = 2

    def settings(self) -> Mapping[str, Any]:
        return {
            "shape": self.shape,
            "target": self.exporter.target,
            "precision": self.precision,
            "length": self.length,
        }

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ("torch", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        progress.update(0, 2, f"building {TITLES[self.shape]} with random weights")
        model = build(self.shape)
        quantization = quantize(model) if self.precision == "int8" else Quantization()
        student = Student(
            name=f"{self.shape}_seq{self.length}_{self.precision}_{self.exporter.target}",
            module=model,
            quantization=quantization,
            max_length=self.length,
            metadata={"description": note(self.shape)},
        )
        progress.update(1, 2, f"lowering to {self.exporter.target}")
        lowered = self.exporter.lower(student, work)
        lowered.path.rename(out / lowered.path.name)
        progress.update(2, 2)
        return {
            "size_bytes": float(lowered.size_bytes),
            "parameters": float(sum(p.numel() for p in model.parameters())),
        }


def build(shape: Shape) -> StudentModel:
    """The student's graph in that shape: seeded random parameters, no token types, no pooler.

    BERT-base has 108.9 M of them, BERT-tiny 4.4 M.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_student(SHAPES[shape]).eval()


def note(shape: Shape) -> str:
    """What to think of figures of this baseline."""
    return f"{TITLES[shape]} has random weights: its size and latency count, its answers do not"


def quantize(model: StudentModel) -> Quantization:
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
