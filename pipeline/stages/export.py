"""export: the quantized student → one target's program, by the exporter handed in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exporters.base import Exporter
from pipeline import __version__
from pipeline.models import checkpoint, compressed
from pipeline.recipe import AnyTask
from pipeline.recipe import Export as Options
from pipeline.store import MANIFEST, commit
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Artifact, CoreMLChoices, Progress, Student

AUTHOR = "pocket-distil"
BESIDE = "beside"
"""Folder of an export's result with what lies beside the program."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Lowers the student; the file is named as the field names such files."""

    quantized: Artifact
    exporter: Exporter
    model_name: str
    precision: str
    task: AnyTask
    options: Options
    calibration: ExampleSet[Any]
    score: Artifact | None = None
    """The student's evaluation in torch, which the program's metadata cites."""
    scored_on: str = ""
    """What its examples were read from."""

    name = "export"
    version = 3

    def settings(self) -> Mapping[str, Any]:
        return {
            "target": self.exporter.target,
            "file": self.file_name(),
            "max_length": self.task.max_length,
            "options": self.options.model_dump(mode="json"),
            **({"scored_on": self._scored_on()} if self.scored_on else {}),
        }

    def parents(self) -> Mapping[str, str]:
        score = {} if self.score is None else {"score": self.score.sha256}
        return {"student": self.quantized.sha256, "calibration": self.calibration.identity(), **score}

    def tools(self) -> tuple[str, ...]:
        return ("torch", *self.exporter.packages)

    def file_name(self) -> str:
        """{model}_{task}_seq{N}_{precision}_{backend} and the target's suffix."""
        code, length = methods_of(self.task).words.code, self.task.max_length
        parts = (self.model_name, code, f"seq{length}", self.precision, self.exporter.target)
        return "_".join(parts) + self.exporter.suffix

    def student(self) -> Student:
        """What is handed to the exporter."""
        methods = methods_of(self.task)
        tokenizer = checkpoint.load_tokenizer(self.quantized.path)
        windows = [w for example in self.calibration.examples for w in methods.windows(example, tokenizer)]
        made = replace(
            compressed.load(self.quantized.path, self.model_name, self.task.max_length, self._metadata()),
            lengths=self.options.lengths or (self.task.max_length,),
            files={path.name: path for path in checkpoint.tokenizer_files(self.quantized.path)},
            calibration=tuple((w.ids[None], np.ones_like(w.ids)[None]) for w in windows),
            coreml=CoreMLChoices(**self.options.coreml.model_dump()),
        )
        assert made.outputs == methods.outputs
        return made

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        progress.update(0, 1, f"lowering to {self.exporter.target}")
        began = time.monotonic()
        lowered = self.exporter.lower(self.student(), work)
        lowered.path.rename(out / self.file_name())
        for companion in lowered.companions:
            (out / BESIDE).mkdir(exist_ok=True)
            companion.rename(out / BESIDE / companion.name)
        progress.update(1, 1)
        return {"size_bytes": float(lowered.size_bytes), "lowering_seconds": time.monotonic() - began}

    def _metadata(self) -> dict[str, str]:
        """What a program says of itself. The commit is not in the key: it says where the code was, and a result
        that is found again keeps the one it was made at."""
        methods = methods_of(self.task)
        vocabulary = self.quantized.path / "vocab.txt"
        entries = {
            "author": AUTHOR,
            "licence": "Apache-2.0",
            "description": methods.words.does,
            "version": __version__,
            "task": methods.kind,
            "max_length": str(self.task.max_length),
            "vocabulary_sha256": hashlib.sha256(vocabulary.read_bytes()).hexdigest(),
            "student_sha256": self.quantized.sha256,
            "commit": commit(),
        }
        if self.score is None:
            return entries
        value, count = self.score.metrics[methods.primary], self.score.metrics["questions"]
        said = f"{value:.1f} (student in torch, {count:.0f} {methods.words.examples} of {self._scored_on()})"
        return {**entries, methods.primary: said}

    def _scored_on(self) -> str:
        """A local path is nobody else's business: only what its file is called."""
        return Path(self.scored_on).stem if Path(self.scored_on).exists() else self.scored_on


def program_of(export: Artifact) -> Path:
    """The program inside an export's result."""
    (program,) = (path for path in export.path.iterdir() if path.name not in (MANIFEST, BESIDE))
    return program
