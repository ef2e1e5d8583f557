"""What the training stages of a plan will need: memory and time, from a few real steps on this device.

A stage is run as it is, data, model and loss included, in a folder that is thrown away, and stopped early. What
it leaves there stands in for its result, so that a stage that starts from it can be rehearsed as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.console import seconds
from pipeline.rehearsal import Cost, Rehearsal
from pipeline.store import Stage
from pipeline.types import Artifact, PipelineError

UNMADE = ""
"""What stands for the sha256 of a result that does not exist yet; no stored key covers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A stage's cost, or why there is none."""

    cost: Cost | None
    why_not: str = ""
    stand_ins: tuple[str, ...] = ()
    """Stages whose barely trained results were used, as they are not made yet."""

    def sentences(self) -> Iterator[str]:
        """For people: what is needed, and what the figures rest on."""
        if self.cost is None:
            yield f"not calibrated: {self.why_not}"
            return
        cost = self.cost
        rate = cost.tokens_per_step / cost.seconds_per_step
        yield (
            f"{cost.steps:,} steps, {_millions(cost.steps * cost.tokens_per_step)} tokens, about "
            f"{seconds(cost.seconds)} at {rate:,.0f} tokens/s"
        )
        known = (
            f"weights {_megabytes(cost.weights_bytes)}, gradients {_megabytes(cost.gradients_bytes)}, "
            f"optimizer {_megabytes(cost.optimizer_bytes)}"
        )
        peak = "unknown here" if cost.peak_bytes is None else f"about {_megabytes(cost.peak_bytes)}"
        yield f"peak memory {peak} ({known}; the rest is activations, the teacher and libraries)"
        untrained = f"; untrained stand-in for {' and '.join(self.stand_ins)}" if self.stand_ins else ""
        yield f"from {cost.tried} steps on {cost.device}{untrained}"


class Calibration:
    """Estimates stages in the order of a run."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._stand_ins: dict[str, Artifact] = {}
        """Key of a result that is not made yet → what stands in for it."""

    def estimate(self, stage: Stage, key: str) -> Estimate:
        """Rehearses the stage, whose result would have this key."""
        parents = _unmade(stage)
        missing = [parent.kind for parent in parents.values() if parent.key not in self._stand_ins]
        if missing:
            return Estimate(cost=None, why_not=f"it needs the result of {missing[0]}, which is not here either")
        changes: dict[str, Any] = {name: self._stand_ins[parent.key] for name, parent in parents.items()}
        if hasattr(stage, "launch"):
            # Else a few steps would wait for the teacher's pass over all data.
            changes["launch"] = stage.launch.model_copy(update={"teacher_outputs": "recompute"})
        rehearsed: Any = replace(stage, **changes)  # type: ignore[type-var]
        out, rehearsal = self.scratch / key / "out", Rehearsal()
        out.mkdir(parents=True)
        try:
            metrics = rehearsed.run(out, self.scratch / key, rehearsal)
        except PipelineError as error:
            return Estimate(cost=None, why_not=str(error))
        self._stand_ins[key] = Artifact(
            kind=stage.name, path=out, key=key, sha256=UNMADE, parents=(), metrics=metrics
        )
        kinds = tuple(parent.kind for parent in parents.values())
        cost = rehearsal.finished()
        if cost is None:
            return Estimate(cost=None, why_not="it makes one training step at most", stand_ins=kinds)
        return Estimate(cost=cost, stand_ins=kinds)


@contextmanager
def calibration() -> Iterator[Calibration]:
    """A calibration whose files are removed at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        yield Calibration(Path(scratch))


def _unmade(stage: Stage) -> Mapping[str, Artifact]:
    """The stage's parents that do not exist yet, by the names of its fields."""
    values = {field.name: getattr(stage, field.name) for field in fields(stage)}  # type: ignore[arg-type]
    return {n: v for n, v in values.items() if isinstance(v, Artifact) and v.sha256 == UNMADE}


def _megabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f} million" if count >= 1e6 else f"{count:,.0f}"
