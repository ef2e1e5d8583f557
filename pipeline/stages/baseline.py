"""baseline: BERT-base as one runtime's program, for the same runtime, precision and length to compare with.

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
from pipeline.numerics import on_grid
from pipeline.recipe import Quantize
from pipeline.types import Progress, Quantization, Student

Precision = Literal["int8", "float32"]

BERT_BASE = StudentConfig(
    vocabulary=30522,
    positions=512,
    hidden=768,
    head_size=64,
    layers=(LayerShape(heads=12, neurons=3072),) * 12,
)
NOTE = "BERT-base has random weights: its size and latency count, its answers do not"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Depends on no recipe: once made, every recipe that measures at this length finds it."""

    exporter: Exporter
    precision: Precision
    length: int

    name = "baseline"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {"target": self.exporter.target, "precision": self.precision, "length": self.length}

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ("torch", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        progress.update(0, 2, "building BERT-base with random weights")
        model = bert_base()
        quantization = quantize(model) if self.precision == "int8" else Quantization()
        student = Student(
            name=f"bert-base_seq{self.length}_{self.precision}_{self.exporter.target}",
            module=model,
            quantization=quantization,
            max_length=self.length,
            metadata={"description": NOTE},
        )
        progress.update(1, 2, f"lowering to {self.exporter.target}")
        lowered = self.exporter.lower(student, work)
        lowered.path.rename(out / lowered.path.name)
        progress.update(2, 2)
        return {
            "size_bytes": float(lowered.size_bytes),
            "parameters": float(sum(p.numel() for p in model.parameters())),
        }


def bert_base() -> StudentModel:
    """The student's graph in BERT-base's shape: 108.9 M seeded random parameters, no token types, no pooler."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StudentModel(BERT_BASE).eval()


def quantize(model: StudentModel) -> Quantization:
    """Puts every linear and embedding on the int8 grid, as stage quantize does, and returns the record."""
    record = compressed.plan(model, Quantize())
    with torch.no_grad():
        for name in record.tensors:
            weight = model.get_parameter(name)
            weight.copy_(on_grid(weight))
    return record


def precision_of(options: Quantize) -> Precision:
    """The precision in which a recipe's student computes, and so the one BERT-base is to be compared in."""
    return options.linears
