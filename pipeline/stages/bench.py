"""bench: how long one inference takes on this machine, beside BERT-base or a tiny BERT in the same runtime.

Batch 1, equal length with every position a real token, paired and interleaved in one process. Raw samples
are kept in bench.json and every figure is computed from them. Nothing here says how fast a phone is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from device_bench import machine as this_machine
from device_bench.protocol import Plan, Samples, measure
from device_bench.stats import describe, paired_ratio
from exporters.base import Exporter
from pipeline.models import answerer, checkpoint
from pipeline.models.answerer import TorchStudent
from pipeline.recipe import Bench as Settings
from pipeline.report.summary import Latency, Timing
from pipeline.stages import baseline
from pipeline.stages.baseline import Precision, Shape
from pipeline.stages.export import program_of
from pipeline.store import tool_version
from pipeline.types import Answerer, Artifact, Progress, UsageError

RESULT = "bench.json"
CANDIDATE, TEACHER, STUDENT = "candidate", "teacher", "student"
"""Names of the measured programs: of `Bench`, and the two of `BenchTorch`."""
PEERS = ("float32", "same")
"""What a program is held against: the baseline in float32, and in the program's own precision."""

Window = tuple[np.ndarray, np.ndarray]
"""input_ids and attention_mask, int32 (1, length)."""
Clock = Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A target's program against the baseline in float32 and in `precision`, all by the same exporter.

    `baselines` are results of stage baseline by precision. Where the runner is emulated none are needed:
    nothing is measured and the result says so (ask `is_emulated` before making them).
    """

    exported: Artifact
    quantized: Artifact
    exporter: Exporter
    baselines: Mapping[Precision, Artifact]
    options: Settings
    precision: Precision = "int8"
    machine: Mapping[str, Any] = field(default_factory=this_machine.identity)
    clock: Clock = time.perf_counter_ns

    name = "bench"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "target": self.exporter.target,
            "precision": self.precision,
            "bench": self.options.model_dump(mode="json"),
            "machine": dict(self.machine),
        }

    def parents(self) -> Mapping[str, str]:
        return {
            "program": self.exported.sha256,
            "student": self.quantized.sha256,
            **{self._peer(precision): made.sha256 for precision, made in self.baselines.items()},
        }

    def tools(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(("numpy", "torch", *self.exporter.packages)))

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        threads = self.options.threads
        progress.update(0, 1, "loading programs")
        if why_not := self.exporter.why_not_run():
            progress.say(f"{self.exporter.target} cannot be run here; no latency is measured")
            unmeasured = {"runtime": self.exporter.target, "emulated": False, "notes": [why_not], "peers": {}}
            return _write(out, self, unmeasured, {})
        candidate = self.exporter.runner(program_of(self.exported), threads=threads)
        record: dict[str, Any] = {
            "runtime": self.exporter.target,
            "emulated": candidate.emulated,
            "notes": [candidate.note],
        }
        if candidate.emulated:
            progress.say(f"{self.exporter.target} is evaluated op by op here; no latency is measured")
            return _write(out, self, {**record, "peers": {}}, {})
        runners = {CANDIDATE: candidate}
        for precision, made in self.baselines.items():
            runners[self._peer(precision)] = self.exporter.runner(program_of(made), threads=threads)
        for name, runner in runners.items():
            _check_length(name, runner.lengths, self.options.length)
        peers = {"float32": self._peer("float32")}
        if self.precision != "float32":
            peers["same"] = self._peer(self.precision)
        assert set(peers.values()) <= set(runners), f"no baseline for one of {sorted(peers.values())}"
        window = _window(self.quantized.path, self.options.length)
        samples = _measure(runners, window, self.options, self.clock, progress)
        record["notes"].append(baseline.note(self.options.baseline))
        return _write(out, self, {**record, "peers": {CANDIDATE: peers}}, samples)

    def _peer(self, precision: Precision) -> str:
        return _peer(self.options.baseline, precision)


@dataclass(frozen=True, kw_only=True)
class BenchTorch:
    """Teacher and student in torch eager, float32, against the baseline in the student's graph."""

    teacher: Artifact
    student: Artifact
    options: Settings
    machine: Mapping[str, Any] = field(default_factory=this_machine.identity)
    clock: Clock = time.perf_counter_ns

    name = "bench"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "target": "torch",
            "bench": self.options.model_dump(mode="json"),
            "machine": dict(self.machine),
        }

    def parents(self) -> Mapping[str, str]:
        return {"teacher": self.teacher.sha256, "student": self.student.sha256}

    def tools(self) -> tuple[str, ...]:
        return ("numpy", "torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        progress.update(0, 1, "loading models")
        shape = self.options.baseline
        peer = _peer(shape, "float32")
        models: dict[str, Answerer] = {
            TEACHER: answerer.load_checkpoint(self.teacher.path)[0],
            STUDENT: answerer.load_checkpoint(self.student.path)[0],
            peer: TorchStudent(baseline.build(shape)),
        }
        window = _window(self.student.path, self.options.length)
        with _torch_threads(self.options.threads):
            samples = _measure(models, window, self.options, self.clock, progress)
        record = {
            "runtime": "torch",
            "emulated": False,
            "notes": ["torch eager in float32.", baseline.note(shape)],
            "peers": {name: {"float32": peer} for name in (TEACHER, STUDENT)},
        }
        return _write(out, self, record, samples)


def is_emulated(exporter: Exporter, exported: Artifact) -> bool:
    """Whether this machine can only evaluate the program, or not even that: its time would mean nothing."""
    return exporter.why_not_run() is not None or exporter.runner(program_of(exported)).emulated


def latency_of(folder: Path, name: str) -> Latency | None:
    """The latency of one program of a bench result, from its raw samples; None where it was not measured."""
    record = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    samples = record["samples_ns"]
    if name not in samples:
        return None
    ratios = {
        peer: paired_ratio(samples[theirs], samples[name]).as_tuple()
        for peer, theirs in record["peers"][name].items()
    }
    return Latency(
        runtime=record["runtime"],
        length=record["asked"]["length"],
        threads=record["asked"]["threads"],
        median_ms=describe(samples[name]).median_ms,
        times_faster_fp32=ratios["float32"],
        times_faster_same=ratios.get("same"),
    )


def timing_of(folder: Path) -> Timing | None:
    """The raw samples of a bench result; None where nothing was measured."""
    record = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if not record["samples_ns"]:
        return None
    return Timing(
        runtime=record["runtime"],
        length=record["asked"]["length"],
        threads=record["asked"]["threads"],
        processor=record["machine"]["processor"],
        samples_ns={name: tuple(samples) for name, samples in record["samples_ns"].items()},
        peers=record["peers"],
        notes=tuple(note for note in record["notes"] if note),
    )


def _peer(shape: Shape, precision: Precision) -> str:
    return f"{shape} {precision}"


def _measure(
    models: Mapping[str, Answerer], window: Window, options: Settings, clock: Clock, progress: Progress
) -> Samples:
    plan = Plan(warmup=options.warmup, runs=options.runs)
    programs = {name: partial(model, *window) for name, model in models.items()}
    return measure(
        programs,
        plan,
        clock=clock,
        step=lambda done: progress.update(done, plan.rounds, "timing" if done > plan.warmup else "warming up"),
    )


def _write(
    out: Path, stage: Bench | BenchTorch, record: Mapping[str, Any], samples: Samples
) -> Mapping[str, float]:
    """bench.json; returns the metrics: medians in ms, coefficients of variation, ratios with interval ends."""
    whole = {
        **record,
        "asked": stage.options.model_dump(mode="json"),
        "machine": {**stage.machine, "load_average_after": this_machine.load_average()},
        "versions": {name: tool_version(name) for name in stage.tools()},
        "samples_ns": samples,
    }
    (out / RESULT).write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    metrics = {}
    for name, taken in samples.items():
        label = name.replace("-", "_").replace(" ", "_")
        metrics[f"{label}_median_ms"] = describe(taken).median_ms
        metrics[f"{label}_coefficient_of_variation"] = describe(taken).coefficient_of_variation
    for name in record["peers"]:
        latency = latency_of(out, name)
        assert latency is not None
        for peer, ratio in zip(PEERS, (latency.times_faster_fp32, latency.times_faster_same), strict=True):
            for end, value in zip(("", "_low", "_high"), ratio or (), strict=False):
                metrics[f"{name}_times_faster_{peer}{end}"] = value
    return metrics


def _window(folder: Path, length: int) -> Window:
    """`length` ordinary tokens of the folder's tokenizer that the baseline's table has too, and no padding."""
    tokenizer = checkpoint.load_tokenizer(folder)
    special = set(tokenizer.all_special_ids)
    ordinary = [i for i in range(min(len(tokenizer), baseline.VOCABULARY)) if i not in special]
    ids = np.random.default_rng(0).choice(ordinary, size=(1, length)).astype(np.int32)
    return ids, np.ones_like(ids)


def _check_length(name: str, lengths: tuple[int, ...], length: int) -> None:
    """Raises UsageError unless the program runs at exactly this length: padding is work of another length."""
    runs_at = next((taken for taken in lengths if taken >= length), lengths[-1])
    if runs_at != length:
        raise UsageError(
            f"bench.length is {length}, but {name} runs at {runs_at} tokens then; set bench.length = {runs_at}"
        )


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
