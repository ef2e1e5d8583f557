"""lint: a target's program held against the rules, before anything is spent on verifying it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from exporters.base import Exporter, Runner
from pipeline.models import checkpoint, compressed
from pipeline.models.answerer import TorchStudent
from pipeline.recipe import AnyTask
from pipeline.stages.export import program_of
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact, Finding, Inspection, Progress, Quantization, VerificationFailed

RESULT = "lint.json"
WINDOWS = 4
"""Calibration windows that the program is run on."""


class Linter(Protocol):
    """What looks at a program: `exporters.linting.inspection`, handed in."""

    SUFFIXES: Mapping[str, str]
    """Of the programs it reads."""

    def inspect(
        self,
        program: Path,
        *,
        precision: str = ...,
        kept: Sequence[np.ndarray] = ...,
        windows: Sequence[tuple[np.ndarray, np.ndarray]] = ...,
        reference: Sequence[tuple[np.ndarray, ...]] = ...,
        runner: Runner | None = ...,
    ) -> Inspection:
        """Every rule's findings."""


@dataclass(frozen=True, kw_only=True)
class Lint:
    """What the record keeps in float is allowed; the torch student says which output is which."""

    exported: Artifact
    quantized: Artifact
    exporter: Exporter
    calibration: ExampleSet[Any]
    task: AnyTask
    linter: Linter

    name = "lint"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {"target": self.exporter.target, "task": self.task.model_dump(mode="json"), "windows": WINDOWS}

    def parents(self) -> Mapping[str, str]:
        return {
            "program": self.exported.sha256,
            "student": self.quantized.sha256,
            "calibration": self.calibration.identity(),
        }

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        progress.update(0, 1, f"looking at {self.exporter.target}")
        found = self._inspection()
        written = {"target": self.exporter.target, **asdict(found)}
        (out / RESULT).write_text(json.dumps(written, ensure_ascii=False, indent=1), encoding="utf-8")
        progress.update(1, 1)
        counts = {f"{severity}s": float(found.count(severity)) for severity in ("error", "warning", "note")}
        return {**counts, "rules_not_checked": float(len(found.skipped))}

    def _inspection(self) -> Inspection:
        if self.exporter.suffix not in self.linter.SUFFIXES:
            return Inspection(
                findings=(), skipped={"all": f"lint does not read {self.exporter.suffix} programs"}
            )
        student = compressed.load(self.quantized.path, "student", self.task.max_length, {})
        tokenizer, methods = checkpoint.load_tokenizer(self.quantized.path), methods_of(self.task)
        asked = self.calibration.spread(WINDOWS)
        parts = [part for example in asked for part in methods.windows(example, tokenizer)][:WINDOWS]
        windows = [(part.ids[None].astype(np.int32), np.ones_like(part.ids, np.int32)[None]) for part in parts]
        reference, program = TorchStudent(student.module), program_of(self.exported)
        return self.linter.inspect(
            program,
            kept=_float_matrices(student.module.state_dict(), student.quantization),
            windows=windows,
            reference=[reference(*window) for window in windows],
            runner=None if self.exporter.why_not_run() else self.exporter.runner(program),
        )


def _float_matrices(weights: Mapping[str, Any], record: Quantization) -> list[np.ndarray]:
    """The matrices that the record keeps in float on purpose."""
    return [weights[name].numpy() for name, plan in record.tensors.items() if plan.dtype == "float32"]


def refuse_errors(linted: Artifact) -> None:
    """Raises VerificationFailed that names the first error, where there is one; a plan has none."""
    if not linted.metrics.get("errors"):
        return
    written = json.loads((linted.path / RESULT).read_text(encoding="utf-8"))
    first = Finding(**next(each for each in written["findings"] if each["severity"] == "error"))
    raise VerificationFailed(
        f"{written['target']}: {first.rule} at {first.where}: {first.sentence}; no bundle was made"
    )
