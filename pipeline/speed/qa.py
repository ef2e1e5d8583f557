"""Task distillation timed: our step, with the teacher asked or read back, beside the plain setup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from device_bench.protocol import Plan
from pipeline import training
from pipeline.models.student import StudentModel
from pipeline.recipe import Distil as Settings
from pipeline.recipe import Questions, StudentShape, Task
from pipeline.schedule import Schedule
from pipeline.speed import models, plain
from pipeline.speed.models import Pair
from pipeline.speed.pace import Paced, Tick
from pipeline.speed.rounds import Meter, Program, Ticking, Timed, timed
from pipeline.stages import Distil
from pipeline.targets import Source, Stored
from pipeline.tasks.dataset import QuestionSet, Windows, collate
from pipeline.tasks.question_answering import Window
from pipeline.training import Feed
from pipeline.types import Artifact

PLAIN, OURS, KEPT = "plain Trainer", "ours", "ours, teacher kept"
ENDLESS = 1000
"""Epochs, and steps, that no measurement comes to the end of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One pair of models on one set of windows; every loop starts from copies of the same weights."""

    pair: Pair
    windows: Sequence[Window]
    tokenizer: PreTrainedTokenizerBase
    options: Settings
    task: Task
    folder: Path

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(window.ids) for window in self.windows]

    def models(self, attention: str) -> tuple[PreTrainedModel, StudentModel]:
        """Teacher and student, anew."""
        teacher = self.pair.teacher(words=False, attention=attention)
        return teacher, self.pair.student(teacher, train_word_embeddings=self.options.train_word_embeddings)

    def stage(self, options: Settings) -> Distil:
        """Our stage, for its loss; its artifacts stand for nothing."""
        nothing = Artifact(kind="", path=Path(), key="", sha256="", parents=(), metrics={})
        return Distil(
            teacher=nothing,
            questions=QuestionSet(Questions(source="practice")),
            task=self.task,
            shape=StudentShape(layers=self.pair.layers),
            options=options,
            seed=0,
        )

    def ours(
        self, options: Settings, batches: training.Batches, meter: Meter, *, kept: bool = False
    ) -> Callable[[Tick], object]:
        """pipeline.training.train with the stage's own loss; `kept`: the teacher's outputs are read back."""
        feed = Feed(examples=Windows(self.windows), batches=batches, collate=collate)

        def loop(tick: Tick) -> None:
            teacher, model = self.models(models.attention())
            stage = self.stage(options)
            source: Source = stage._outputs(teacher, model)
            if kept:
                order = Schedule(self.lengths, options.tokens_per_batch, 1.0, 0).batches
                stored = Stored(self.folder / "kept", source, feed, self.lengths, order, ["tokens"] * 3)
                stored.fill(Ticking(lambda: None))
                source = stored
            loss = meter.on(stage._loss(teacher, model, source))
            work = self.folder / f"ours-{options.precision}-{kept}"
            training.train(model, loss, feed, options, seed=0, work=work, progress=Ticking(tick))

        return loop

    def plain(self, batch: int, steps: int, kept: list[plain.PlainTrainer]) -> Callable[[Tick], object]:
        """The plain setup; its trainer is put into `kept`."""

        def loop(tick: Tick) -> None:
            teacher, model = self.models("sdpa")
            kept.append(
                plain.trainer(
                    model,
                    teacher,
                    self.tokenizer,
                    self.windows,
                    self.options,
                    batch=batch,
                    length=self.task.max_length,
                    steps=steps,
                    folder=self.folder / "plain",
                    tick=tick,
                )
            )
            kept[0].train()

        return loop


def speeds(setup: Setup, batch: int, plan: Plan, device: torch.device) -> dict[str, Timed]:
    """All three, timed in turns. `batch`: the plain setup's windows in a step."""
    options = setup.options
    batches = Schedule(setup.lengths, options.tokens_per_batch, ENDLESS / 10, 0)
    theirs: list[plain.PlainTrainer] = []
    asked, read = Meter(), Meter()
    return timed(
        {
            PLAIN: Program(
                loop=Paced(setup.plain(batch, ENDLESS, theirs)), seen=lambda: theirs[0].tokens if theirs else 0
            ),
            OURS: Program(loop=Paced(setup.ours(options, batches, asked)), seen=lambda: asked.tokens),
            KEPT: Program(loop=Paced(setup.ours(options, batches, read, kept=True)), seen=lambda: read.tokens),
        },
        plan,
        device,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The losses of the same windows in the same order, step by step."""

    plain: tuple[float, ...]
    ours_float32: tuple[float, ...]
    ours: tuple[float, ...]
    precision: str

    @property
    def worst(self) -> float:
        """The largest relative difference between the plain setup and ours in float32."""
        return max(_relative(self.plain, self.ours_float32))

    @property
    def worst_low(self) -> float:
        """The same for ours in its own precision."""
        return max(_relative(self.plain, self.ours))


def trajectory(setup: Setup, batch: int, steps: int) -> Trajectory:
    """A short run of each from the same weights with the same optimizer settings, nothing random in it."""
    groups = [list(range(first, first + batch)) for first in range(0, batch * steps, batch)]
    theirs: list[plain.PlainTrainer] = []
    setup.plain(batch, steps, theirs)(lambda: None)
    curves = []
    for precision in ("float32", setup.options.precision):
        options = setup.options.model_copy(update={"precision": precision, "accumulate": 1})
        meter = Meter()
        setup.ours(options, groups, meter)(lambda: None)
        curves.append(tuple(float(loss) for loss in meter.losses))
    return Trajectory(
        plain=tuple(float(loss) for loss in theirs[0].losses),
        ours_float32=curves[0],
        ours=curves[1],
        precision=setup.options.precision,
    )


def _relative(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [abs(a - b) / abs(a) for a, b in zip(one, other, strict=True)]
