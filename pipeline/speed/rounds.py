"""Several training loops timed in turns, in tokens of real text: padding is computed, but never counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from device_bench import protocol, stats
from device_bench.protocol import Plan
from device_bench.stats import Ratio
from pipeline.speed.arithmetic import synchronize
from pipeline.speed.pace import Paced
from pipeline.training import Batch
from pipeline.types import Silent

Loss = Callable[[torch.nn.Module, Batch], torch.Tensor]


class Meter:
    """Counts real tokens and keeps the losses of the batches that a loop sees."""

    def __init__(self) -> None:
        self.tokens = 0
        self.losses: list[torch.Tensor] = []

    def on(self, loss: Loss) -> Loss:
        """The same loss, metered."""

        def metered(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            found = loss(model, batch)
            self.tokens += int(batch["attention_mask"].sum())
            self.losses.append(found.detach())
            return found

        return metered


class Ticking(Silent):
    """A `Progress` that hands each finished step to whoever paces the loop."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self.tick = tick

    def update(self, done: float, total: float, note: str = "") -> None:
        self.tick()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A paced loop, how many of its optimizer steps make a round, and the tokens it has seen so far."""

    loop: Paced
    seen: Callable[[], int]
    steps: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Raw samples: nanoseconds and real tokens of every round."""

    nanoseconds: tuple[int, ...]
    tokens: tuple[int, ...]

    @property
    def per_token(self) -> list[float]:
        """Nanoseconds a token, by round."""
        return [ns / tokens for ns, tokens in zip(self.nanoseconds, self.tokens, strict=True)]

    @property
    def tokens_per_second(self) -> float:
        """The median over rounds."""
        return 1e9 / stats.median(self.per_token)


def timed(programs: Mapping[str, Program], plan: Plan, device: torch.device) -> dict[str, Timed]:
    """Advances all programs in turns, a round each, and closes them."""
    tokens: dict[str, list[int]] = {name: [] for name in programs}

    def call(name: str, program: Program) -> Callable[[], None]:
        def one() -> None:
            before = program.seen()
            program.loop.advance(program.steps)
            synchronize(device)
            tokens[name].append(program.seen() - before)

        return one

    try:
        samples = protocol.measure({name: call(name, one) for name, one in programs.items()}, plan)
    finally:
        for program in programs.values():
            program.loop.close()
    return {
        name: Timed(nanoseconds=samples[name], tokens=tuple(tokens[name][plan.warmup :])) for name in programs
    }


def times_faster(baseline: Timed, candidate: Timed) -> Ratio:
    """How many times the baseline's tokens a second the candidate does, round against the round beside it."""
    return stats.paired_ratio(baseline.per_token, candidate.per_token)
