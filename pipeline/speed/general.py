"""Task-agnostic distillation timed: our step beside the published loop, same losses, same positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from device_bench.protocol import Plan
from pipeline import training
from pipeline.recipe import Corpus, Pretrain
from pipeline.schedule import PooledSchedule
from pipeline.speed import models, published
from pipeline.speed.models import Pair
from pipeline.speed.pace import Paced, Tick
from pipeline.speed.rounds import Meter, Program, Ticking, Timed, timed
from pipeline.stages.pretrain import general_loss
from pipeline.tasks.corpus import Packed
from pipeline.tasks.masking import MaskedSequences, collate
from pipeline.training import Batch, Feed

PUBLISHED, OURS = "published loop", "ours"
ENDLESS = 1000
SETTINGS = {"soft": 5.0, "mlm": 2.0, "cosine": 1.0, "temperature": 2.0, "dropout": 0.0}
"""The paper's weights. Dropout is 0 for both, as in our recipes; theirs was 0.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One pair of models on one packed corpus."""

    pair: Pair
    packed: Packed
    options: Pretrain
    device: torch.device
    folder: Path

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return self.packed.lengths(0, len(self.packed)).tolist()  # type: ignore[no-any-return]

    def ours(self, meter: Meter) -> Callable[[Tick], object]:
        """pipeline.training.train with stage pretrain's own loss."""
        options = self.options
        feed = Feed(
            examples=MaskedSequences(self.packed, options.mask, 0),
            batches=PooledSchedule(self.packed, options.tokens_per_batch, options.epochs, 0),
            collate=collate,
        )

        def loop(tick: Tick) -> None:
            teacher = self.pair.teacher(words=True, attention=models.attention())
            model = self.pair.student(teacher, train_word_embeddings=options.train_word_embeddings)
            loss = meter.on(general_loss(teacher, model, options))
            training.train(
                model, loss, feed, options, seed=0, work=self.folder / "general", progress=Ticking(tick)
            )

        return loop

    def published(self, batch: int, accumulate: int, meter: Meter) -> Callable[[Tick], object]:
        """The published loop, `batch` sequences at a time."""
        sequences = MaskedSequences(self.packed, self.options.mask, 0)
        options = self.options.model_copy(update={"accumulate": accumulate})

        def batches() -> Iterator[Batch]:
            for epoch in range(ENDLESS):
                for group in published.length_groups(self.lengths, batch, epoch):
                    made = collate([sequences[epoch, i] for i in group])
                    meter.tokens += int(made["attention_mask"].sum())
                    yield made

        def loop(tick: Tick) -> None:
            teacher = self.pair.teacher(words=True, attention="eager")
            model = self.pair.student(teacher, train_word_embeddings=options.train_word_embeddings)
            published.train(
                model,
                teacher,
                batches(),
                options,
                steps=ENDLESS,
                device=self.device,
                heard=meter.losses,
                tick=tick,
            )

        return loop


def options(precision: str, tokens: int, accumulate: int) -> Pretrain:
    """The paper's losses with the whole vocabulary at every position."""
    return Pretrain(
        corpus=Corpus(source="given elsewhere"),
        precision=precision,  # type: ignore[arg-type]
        tokens_per_batch=tokens,
        accumulate=accumulate,
        epochs=ENDLESS / 10,
        **SETTINGS,  # type: ignore[arg-type]
    )


def speeds(setup: Setup, batch: int, accumulate: int, plan: Plan) -> dict[str, Timed]:
    """Both, timed in turns. `batch`, `accumulate`: the published loop's sequences and batches in a step."""
    theirs, ours = Meter(), Meter()
    return timed(
        {
            PUBLISHED: Program(
                loop=Paced(setup.published(batch, accumulate, theirs)), seen=lambda: theirs.tokens
            ),
            OURS: Program(loop=Paced(setup.ours(ours)), seen=lambda: ours.tokens),
        },
        plan,
        setup.device,
    )
