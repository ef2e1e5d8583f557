"""What a run has to say at its end: the records that the printed table, the report and the model card read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Median time of one inference, batch 1, and how many times faster than the baseline it is.

    Ratios are medians over paired, interleaved runs with 95 % bootstrap intervals; `runtime` says on what.
    """

    runtime: str
    length: int
    threads: int
    median_ms: float
    times_faster_fp32: tuple[float, float, float]
    """Against the baseline in float32 on the same runtime: ratio, interval's low and high end."""
    times_faster_same: tuple[float, float, float] | None
    """Against the baseline in the same precision; None where the row is float32 itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the result table. `size_bytes`: the artifact on disk, or a torch model's float32 weights."""

    label: str
    kind: str
    """teacher, student or artifact"""
    parameters: int | None
    em: float
    f1: float
    questions: int
    size_bytes: int
    latency: Latency | None
    note: str = ""
    """Why a figure is missing, or what kind of figure it is (evaluated op by op, …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One line of the run: what happened to a stage."""

    name: str
    """The stage's, and which one where a run has several: export tflite."""
    origin: str
    """made, reused or shipped"""
    seconds: float
    """What this run spent on it."""
    made_in_seconds: float
    """What making it took, then."""
    key: str
    sha256: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One measured value held against its limit; `relation` is ≥ or ≤."""

    name: str
    value: float
    relation: str
    limit: float

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.relation == "≥" else self.value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All checks of one target, on so many questions, and what such an evaluation does not prove."""

    target: str
    questions: int
    checks: tuple[Check, ...]
    note: str = ""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How one stage's training loss went."""

    stage: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Everything the report shows."""

    recipe_name: str
    recipe_description: str
    recipe_toml: str
    """The resolved recipe, overrides included."""
    eval_source: str
    baseline: str
    """What latencies are compared with, as the report calls it: BERT-base."""
    rows: tuple[Row, ...]
    stages: tuple[StageRecord, ...]
    verdicts: tuple[Verdict, ...]
    bundles: Mapping[str, str]
    """Target → bundle folder, relative to the run's folder."""
    provenance: Mapping[str, object]
    tools: Mapping[str, str]
    curves: tuple[Curve, ...] = ()
    """Of the stages that were trained into this store; a shipped result has none."""
