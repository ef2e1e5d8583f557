"""verify: a target's program against the torch student it was made from, on real examples.

Measured here, judged by `judge`: raw logits in float64, then the task's metrics of the program itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from exporters.base import Exporter
from pipeline.models import checkpoint, compressed
from pipeline.models.answerer import TorchStudent
from pipeline.models.student import StudentModel, first_layers
from pipeline.numerics import sqnr_db
from pipeline.recipe import AnyTask
from pipeline.recipe import Verify as Tolerance
from pipeline.report.summary import Check, Verdict
from pipeline.stages.export import program_of
from pipeline.tasks.base import Logits, Methods, run_window
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Answerer, Artifact, Progress, Quantization, Student

RESULT = "verification.json"
EXACT_DB = 200.0
"""Stands for "the same to the bit", which JSON has no number for."""
PROBES = 4
"""Examples on which the layer that goes wrong is looked for."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Runs the program and the student side by side; `questions` of them, fewer where it is emulated."""

    exported: Artifact
    quantized: Artifact
    exporter: Exporter
    questions: ExampleSet[Any]
    task: AnyTask
    tolerance: Tolerance

    name = "verify"
    version = 2

    def settings(self) -> Mapping[str, Any]:
        return {
            "target": self.exporter.target,
            "task": self.task.model_dump(mode="json"),
            "questions": self.tolerance.questions,
            "emulated_questions": self.tolerance.emulated_questions,
        }

    def parents(self) -> Mapping[str, str]:
        return {
            "program": self.exported.sha256,
            "student": self.quantized.sha256,
            "questions": self.questions.identity(),
        }

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        student = compressed.load(self.quantized.path, "student", self.task.max_length, {})
        tokenizer = checkpoint.load_tokenizer(self.quantized.path)
        runner = self.exporter.runner(program_of(self.exported))
        limit = self.tolerance.emulated_questions if runner.emulated else self.tolerance.questions
        examples, methods = self.questions.examples[:limit], methods_of(self.task)
        comparison = compare(
            methods,
            examples,
            TorchStudent(student.module),
            runner,
            lambda example: methods.windows(example, tokenizer),
            lambda done: progress.update(done, len(examples), f"asking {self.exporter.target}"),
        )
        (out / RESULT).write_text(
            json.dumps(
                {
                    "target": self.exporter.target,
                    "emulated": runner.emulated,
                    "note": runner.note,
                    "primary": methods.primary,
                    "agreement": methods.agreement,
                    "metrics": comparison.metrics,
                    "predictions": comparison.predictions,
                },
                ensure_ascii=False,
                indent=1,
            ),
            encoding="utf-8",
        )
        return comparison.metrics


@dataclass(frozen=True, slots=True)
class Comparison:
    """Metrics over all windows and examples, and the program's own answers."""

    metrics: dict[str, float]
    predictions: dict[str, str | float]


def compare(
    methods: Methods,
    examples: Sequence[Any],
    reference: Answerer,
    program: Answerer,
    windows_of: Callable[[Any], list[Any]],
    step: Callable[[int], None],
) -> Comparison:
    """Both models on the same windows.

    max_error, mean_error: |difference| of logits; sqnr_db over all logits; the task's agreement: share of
    examples with the same answer (the same characters, label, or value within its tolerance); the task's
    metrics, of the program and with student_ of the student; drop of the first: student − program.
    """
    decode = methods.decoder(examples)
    wanted: list[np.ndarray] = []
    got: list[np.ndarray] = []
    answers: tuple[dict[str, str | float], dict[str, str | float]] = ({}, {})
    same = 0
    for done, example in enumerate(examples, start=1):
        parts = windows_of(example)
        found = []
        for model, collected, given in ((reference, wanted, answers[0]), (program, got, answers[1])):
            logits = [run_window(model, part) for part in parts]
            collected.extend(np.concatenate(outputs) for outputs in logits)
            found.append(decode(example, parts, [_finite(outputs) for outputs in logits]))
            given[example.id] = methods.written(found[-1])
        same += methods.agree(found[0], found[1])
        step(done)
    reference_logits, program_logits = np.concatenate(wanted), np.concatenate(got)
    errors = np.abs(reference_logits.astype(np.float64) - program_logits.astype(np.float64))
    expected, scored = (methods.score(examples, given) for given in answers)
    return Comparison(
        {
            "questions": float(len(examples)),
            "windows": float(len(wanted)),
            "sqnr_db": min(sqnr_db(reference_logits, program_logits), EXACT_DB),
            "max_error": float(errors.max()),
            "mean_error": float(errors.mean()),
            methods.agreement: same / len(examples),
            **scored,
            **{f"student_{name}": value for name, value in expected.items()},
            f"{methods.primary}_drop": expected[methods.primary] - scored[methods.primary],
        },
        answers[1],
    )


def _finite(logits: Logits) -> Logits:
    """Logits that decode to something even where a broken program gives NaN; the verdict sees the NaN."""
    return tuple(np.nan_to_num(part, nan=-1e4, posinf=1e4, neginf=-1e4) for part in logits)


def judge(verified: Artifact, tolerance: Tolerance) -> Verdict:
    """Holds a verification against a tolerance."""
    record = json.loads((verified.path / RESULT).read_text(encoding="utf-8"))
    metrics = record["metrics"]
    limits = (
        ("sqnr_db", "≥", tolerance.min_sqnr_db),
        (record["agreement"], "≥", tolerance.min_span_agreement),
        (f"{record['primary']}_drop", "≤", tolerance.max_f1_drop),
    )
    return Verdict(
        target=record["target"],
        questions=int(metrics["questions"]),
        checks=tuple(
            Check(name=name, value=metrics[name], relation=relation, limit=limit)
            for name, relation, limit in limits
        ),
        note=record["note"],
    )


def first_bad_layer(stage: Verify, progress: Progress) -> str:
    """The first part of the student whose output leaves tolerance in this runtime.

    Lowers the student cut after 0, 1, 2 … layers and compares each with torch on the same windows: it
    needs nothing of a runtime but to lower and to run.
    """
    student = compressed.load(stage.quantized.path, "student", stage.task.max_length, {})
    tokenizer = checkpoint.load_tokenizer(stage.quantized.path)
    exporter, min_sqnr_db = stage.exporter, stage.tolerance.min_sqnr_db
    methods = methods_of(stage.task)
    windows = [
        window for example in stage.questions.spread(PROBES) for window in methods.windows(example, tokenizer)
    ]
    assert isinstance(student.module, StudentModel)
    head = "qa_outputs" if hasattr(student.module, "qa_outputs") else "classifier"
    names = [f"embeddings or {head}", *(f"layers.{i}" for i in range(len(student.module.layers)))]
    for depth, name in enumerate(names):
        progress.update(depth, len(names), f"looking for the layer that goes wrong: {name}")
        module = first_layers(student.module, depth)
        kept = {f"{path}.weight" for path, _ in module.named_modules()}
        plans = {n: p for n, p in student.quantization.tensors.items() if n in kept}
        cut = Student(
            name=student.name,
            module=module,
            quantization=Quantization(tensors=plans),
            max_length=student.max_length,
            outputs=student.outputs,
        )
        with TemporaryDirectory() as scratch:
            runner = exporter.runner(exporter.lower(cut, Path(scratch)).path)
            pairs = [
                (
                    np.concatenate(run_window(TorchStudent(module), window)),
                    np.concatenate(run_window(runner, window)),
                )
                for window in windows
            ]
        wanted, got = (np.concatenate(side) for side in zip(*pairs, strict=True))
        measured = sqnr_db(wanted, got)
        if measured < min_sqnr_db:
            return f"{name} (SQNR {measured:.1f} dB after it, {min_sqnr_db:g} wanted)"
    return "no single layer: the error builds up over all of them"
