"""The programs that are timed, made through the store: the tools' defaults, ours, and one large linear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from exporters.base import Exporter, get
from pipeline.models import checkpoint
from pipeline.recipe import Record
from pipeline.shipped import Pretrained
from pipeline.speed import defaults
from pipeline.speed.arithmetic import LINEAR
from pipeline.speed.encoders import Encoder, encoder
from pipeline.speed.records import DEFAULT, OURS, Program
from pipeline.speed.runtimes import TARGETS
from pipeline.stages import baseline
from pipeline.store import MANIFEST, Store
from pipeline.types import Progress, Silent, Student


@dataclass(frozen=True, kw_only=True)
class Default:
    """A runtime's own flow on Hugging Face's model, its length fixed (for ONNX Runtime the longest)."""

    encoder: Encoder
    runtime: str
    length: int

    name = "bench-default"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {"runtime": self.runtime, "length": self.length, **_identity(self.encoder)}

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers", *defaults.TOOLS[self.runtime].packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        path = out / f"{self.encoder.name}_seq{self.length}_default{defaults.TOOLS[self.runtime].suffix}"
        model = defaults.FourDimensionalMask(self.encoder.published()).eval()
        defaults.convert(self.runtime, model, defaults.window(self.length), path)
        return {"size_bytes": float(path.stat().st_size)}


@dataclass(frozen=True, kw_only=True)
class Ours:
    """The same weights on the int8 grid in our graph, lowered by our exporter with what an export gives it."""

    encoder: Encoder
    exporter: Exporter
    lengths: tuple[int, ...]
    """Ascending; a program of fixed shapes gets these, another takes any up to the last."""

    name = "bench-ours"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {"target": self.exporter.target, "lengths": list(self.lengths), **_identity(self.encoder)}

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        model = self.encoder.student()
        quantization = baseline.quantize(model)
        files = checkpoint.tokenizer_files(checkpoint.SHIPPED / "pocket-teacher")
        student = Student(
            name=f"{self.encoder.name}_seq{self.lengths[-1]}_ours",
            module=model,
            quantization=quantization,
            max_length=self.lengths[-1],
            outputs=model.outputs,
            lengths=self.lengths,
            metadata={"description": "random weights: size and latency count, answers do not"},
            files={path.name: path for path in files},
        )
        lowered = self.exporter.lower(student, work)
        lowered.path.rename(out / lowered.path.name)
        return {"size_bytes": float(lowered.size_bytes)}


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One large linear by a runtime's own int8 flow, whose rate is the most that its products reach."""

    runtime: str

    name = "bench-linear"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {"runtime": self.runtime, "shape": list(LINEAR)}

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ("torch", *defaults.TOOLS[self.runtime].packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        rows, wide, outputs = LINEAR
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = torch.nn.Linear(wide, outputs).eval()
        path = out / f"linear{defaults.TOOLS[self.runtime].suffix}"
        defaults.convert(self.runtime, model, (torch.zeros(rows, wide),), path)
        return {"size_bytes": float(path.stat().st_size)}


class MakePlan(Record):
    """The programs of one model for one runtime."""

    model: str
    runtime: str
    fixed: tuple[int, ...]
    """Lengths of defaults, the longest first."""
    lengths: tuple[int, ...]
    """Of ours, ascending."""
    store: Path


class Made(Record):
    """What came of it. `linear`: for a runtime whose default goals are about."""

    programs: tuple[Program, ...]
    linear: Program | None


def make(plan: MakePlan) -> Made:
    """Defaults from the store where they are there; ours is made anew: it is what is being measured."""
    chosen, judged = encoder(plan.model), plan.runtime in TARGETS
    # The peer takes any length, so that its longest program serves all.
    fixed = plan.fixed if judged else plan.fixed[:1]
    found = [
        _program(plan, Default(encoder=chosen, runtime=plan.runtime, length=length), length) for length in fixed
    ]
    if not judged:
        return Made(programs=tuple(found), linear=None)
    ours = Ours(encoder=chosen, exporter=get(plan.runtime), lengths=plan.lengths)
    found.append(_program(plan, ours, plan.lengths[-1], fresh=True))
    return Made(programs=tuple(found), linear=_program(plan, Linear(runtime=plan.runtime), LINEAR[0]))


def _program(plan: MakePlan, stage: Default | Ours | Linear, length: int, *, fresh: bool = False) -> Program:
    artifact = Store(plan.store, seed=0, shipped=Pretrained(), fresh=fresh).make(stage, Silent())
    (path,) = (path for path in artifact.path.iterdir() if path.name != MANIFEST)
    return Program(
        model=plan.model,
        runtime=plan.runtime,
        maker=OURS if isinstance(stage, Ours) else DEFAULT,
        length=length,
        path=path,
        size_bytes=int(artifact.metrics["size_bytes"]),
        seconds=artifact.seconds if artifact.origin == "made" else 0.0,
    )


def _identity(encoder: Encoder) -> dict[str, Any]:
    return {"encoder": encoder.name, "family": encoder.config.model_type, **asdict(encoder.shape)}
