"""quantize: decides per tensor what int8 means, in one record, and puts the weights on that grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.models import checkpoint, compressed, student
from pipeline.numerics import on_grid, sqnr_db
from pipeline.recipe import Quantize as Settings
from pipeline.types import Artifact, Progress


@dataclass(frozen=True, kw_only=True)
class Quantize:
    """The torch student that results is what every artifact is compared with."""

    pruned: Artifact
    options: Settings

    name = "quantize"
    version = 2

    def settings(self) -> Mapping[str, Any]:
        return self.options.model_dump(mode="json")

    def parents(self) -> Mapping[str, str]:
        return {"student": self.pruned.sha256}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        model = student.load(self.pruned.path)
        record = compressed.plan(model, self.options)
        weights = model.state_dict()
        worst, quantized, floats = float("inf"), 0, 0
        for done, (name, tensor) in enumerate(weights.items(), start=1):
            plan = record.tensors.get(name)
            if plan and plan.dtype == "int8":
                rounded = on_grid(tensor)
                worst = min(worst, sqnr_db(tensor.numpy(), rounded.numpy()))
                weights[name] = rounded
                quantized += tensor.numel()
            else:
                floats += tensor.numel()
            progress.update(done, len(weights), name)
        with torch.no_grad():
            model.load_state_dict(weights)
        compressed.save(model, record, out)
        checkpoint.save_tokenizer(checkpoint.load_tokenizer(self.pruned.path), out)
        metrics = {"int8_parameters": float(quantized), "float_parameters": float(floats)}
        if quantized and worst != float("inf"):
            metrics["worst_weight_sqnr_db"] = worst
        return metrics
