"""What a run has to say at its end: the records that the printed table, the report and the model card read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveInt


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
    scores: Mapping[str, float]
    """The task's metrics in percent, in the order they are shown."""
    questions: int
    """Questions, or texts, that it answered."""
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
    on: str = ""
    """The window it was measured on, where that is a certain one."""

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
    not_run: str = ""
    """Why there is nothing to judge, where this machine cannot run the program."""

    @property
    def outcome(self) -> Literal["passed", "failed", "not run"]:
        if self.not_run:
            return "not run"
        return "passed" if all(check.passed for check in self.checks) else "failed"

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One program, or one torch student, that others are compared with."""

    name: str
    about: str
    """What it is, in a sentence; why it was not run, where it was not."""
    questions: int
    scores: Mapping[str, float]
    """The task's metrics in percent, over these questions."""
    not_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How far two of them are apart, over the questions that both were asked; the first is SQNR's signal."""

    one: str
    other: str
    questions: int
    sqnr_db: float
    max_error: float
    mean_error: float
    cosine: float
    agreement: float
    """Share of questions with the same answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """All programs of a run and the torch students they came from, each with each."""

    same: str
    """What two of them agree on: answer span, label, value."""
    compared: tuple[Compared, ...]
    pairs: tuple[Pair, ...]

    def pair(self, one: str, other: str) -> Pair | None:
        """The pair of these two, in any order; None where one was not run."""
        return next((pair for pair in self.pairs if {pair.one, pair.other} == {one, other}), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How one stage's training loss went."""

    stage: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Raw samples of one bench: programs that took turns in one runtime on the machine that made the run."""

    runtime: str
    length: int
    """Tokens of every window."""
    threads: int
    processor: str
    samples_ns: Mapping[str, tuple[PositiveInt, ...]]
    """Program → nanoseconds of each round; the artifact is `candidate`."""
    peers: Mapping[str, Mapping[str, str]]
    """Program → what it is held against: `float32` and `same` precision → that program."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSize:
    """What the baseline takes as one target's program."""

    target: str
    precision: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Everything the report shows."""

    recipe_name: str
    recipe_description: str
    recipe_toml: str
    """The resolved recipe, overrides included."""
    eval_source: str
    primary: str
    """The metric that the plot is about, one of every row's scores."""
    asked: str
    """What was asked: questions, texts."""
    baseline: str
    """What latencies are compared with, as the report calls it: BERT-base."""
    rows: tuple[Row, ...]
    stages: tuple[StageRecord, ...]
    verdicts: tuple[Verdict, ...]
    bundles: Mapping[str, str]
    """Target → bundle folder, relative to the run's folder."""
    provenance: Mapping[str, object]
    tools: Mapping[str, str]
    agreement: Agreement | None = None
    curves: tuple[Curve, ...] = ()
    """Of the stages that were trained into this store; a shipped result has none."""
    timings: tuple[Timing, ...] = ()
    baselines: tuple[BaselineSize, ...] = ()
