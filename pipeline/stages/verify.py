"""verify: a target's program against the torch student it was made from, on real questions.

Measured here, judged by `judge`: raw logits in float64, then EM and F1 of the program itself.
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
from pipeline.recipe import Task
from pipeline.recipe import Verify as Tolerance
from pipeline.report.summary import Check, Verdict
from pipeline.stages.export import program_of
from pipeline.tasks import question_answering, squad
from pipeline.tasks.dataset import QuestionSet
from pipeline.tasks.question_answering import Window
from pipeline.tasks.squad import Question
from pipeline.types import Answerer, Artifact, Progress, Quantization, Student

RESULT = "verification.json"
EXACT_DB = 200.0
"""Stands for "the same to the bit", which JSON has no number for."""
PROBES = 4
"""Questions on which the layer that goes wrong is looked for."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Runs the program and the student side by side; `questions` of them, fewer where it is emulated."""

    exported: Artifact
    quantized: Artifact
    exporter: Exporter
    questions: QuestionSet
    task: Task
    tolerance: Tolerance

    name = "verify"
    version = 1

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
        questions = self.questions.questions[:limit]
        comparison = compare(
            questions,
            TorchStudent(student.module),
            runner,
            lambda question: question_answering.windows(question, tokenizer, self.task),
            self.task,
            lambda done: progress.update(done, len(questions), f"asking {self.exporter.target}"),
        )
        (out / RESULT).write_text(
            json.dumps(
                {
                    "target": self.exporter.target,
                    "emulated": runner.emulated,
                    "note": runner.note,
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
    """Metrics over all windows and questions, and the program's own answers."""

    metrics: dict[str, float]
    predictions: dict[str, str]


def compare(
    questions: Sequence[Question],
    reference: Answerer,
    program: Answerer,
    windows_of: Callable[[Question], list[Window]],
    task: Task,
    step: Callable[[int], None],
) -> Comparison:
    """Both models on the same windows.

    max_error, mean_error: |difference| of logits; sqnr_db over all logits; span_agreement: share of
    questions whose best span is the same characters; em, f1: of the program; f1_drop: student − program.
    """
    may_be_empty = any(not question.answers for question in questions)
    wanted: list[np.ndarray] = []
    got: list[np.ndarray] = []
    answers: tuple[dict[str, str], dict[str, str]] = ({}, {})
    same = 0
    for done, question in enumerate(questions, start=1):
        parts = windows_of(question)
        spans = []
        for model, collected, given in ((reference, wanted, answers[0]), (program, got, answers[1])):
            logits = [question_answering.run_window(model, part) for part in parts]
            collected.extend(np.concatenate(pair) for pair in logits)
            best = question_answering.decode(
                question.passage, parts, [_finite(pair) for pair in logits], task, may_be_empty=may_be_empty
            )[0]
            given[question.id] = best.text
            spans.append((best.start, best.end))
        same += spans[0] == spans[1]
        step(done)
    reference_logits, program_logits = np.concatenate(wanted), np.concatenate(got)
    errors = np.abs(reference_logits.astype(np.float64) - program_logits.astype(np.float64))
    expected = squad.score(questions, answers[0])
    scored = squad.score(questions, answers[1])
    return Comparison(
        {
            "questions": float(len(questions)),
            "windows": float(len(wanted)),
            "sqnr_db": min(sqnr_db(reference_logits, program_logits), EXACT_DB),
            "max_error": float(errors.max()),
            "mean_error": float(errors.mean()),
            "span_agreement": same / len(questions),
            **scored,
            "student_em": expected["em"],
            "student_f1": expected["f1"],
            "f1_drop": expected["f1"] - scored["f1"],
        },
        answers[1],
    )


def _finite(logits: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Logits that decode to something even where a broken program gives NaN; the verdict sees the NaN."""
    start, end = (np.nan_to_num(part, nan=-1e4, posinf=1e4, neginf=-1e4) for part in logits)
    return start, end


def judge(verified: Artifact, tolerance: Tolerance) -> Verdict:
    """Holds a verification against a tolerance."""
    record = json.loads((verified.path / RESULT).read_text(encoding="utf-8"))
    metrics = record["metrics"]
    return Verdict(
        target=record["target"],
        questions=int(metrics["questions"]),
        checks=(
            Check(name="sqnr_db", value=metrics["sqnr_db"], relation="≥", limit=tolerance.min_sqnr_db),
            Check(
                name="span_agreement",
                value=metrics["span_agreement"],
                relation="≥",
                limit=tolerance.min_span_agreement,
            ),
            Check(name="f1_drop", value=metrics["f1_drop"], relation="≤", limit=tolerance.max_f1_drop),
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
    windows = [
        window
        for question in stage.questions.spread(PROBES)
        for window in question_answering.windows(question, tokenizer, stage.task)
    ]
    assert isinstance(student.module, StudentModel)
    names = ["embeddings or qa_outputs", *(f"layers.{i}" for i in range(len(student.module.layers)))]
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
        )
        with TemporaryDirectory() as scratch:
            runner = exporter.runner(exporter.lower(cut, Path(scratch)).path)
            pairs = [
                (
                    np.concatenate(question_answering.run_window(TorchStudent(module), window)),
                    np.concatenate(question_answering.run_window(runner, window)),
                )
                for window in windows
            ]
        wanted, got = (np.concatenate(side) for side in zip(*pairs, strict=True))
        measured = sqnr_db(wanted, got)
        if measured < min_sqnr_db:
            return f"{name} (SQNR {measured:.1f} dB after it, {min_sqnr_db:g} wanted)"
    return "no single layer: the error builds up over all of them"
