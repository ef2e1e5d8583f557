"""verify: a target's program against the torch student it was made from, on real examples and hostile windows.

Measured here, judged by `judge`: raw logits in float64, then the task's metrics of the program itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.base import Exporter, Runner
from pipeline import comparison
from pipeline.adversarial import Feed, Vocabulary, feeds
from pipeline.comparison import EXACT_DB
from pipeline.models import checkpoint, compressed, student
from pipeline.models.answerer import TorchStudent
from pipeline.models.dynamic import quantized_alike
from pipeline.numerics import sqnr_db
from pipeline.recipe import AnyTask
from pipeline.recipe import Verify as Tolerance
from pipeline.report.summary import Check, Verdict
from pipeline.stages.export import program_of
from pipeline.stages.reference import CALLED, FLOAT32, WEIGHTS
from pipeline.tasks.base import Extent
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Activations, Answerer, Artifact, Progress

RESULT = "verification.json"


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Runs the program on `questions` of them, fewer where it is emulated, and holds it against torch.

    `references` are results of stage reference by name. A program that cannot run here is said to be so.
    """

    exported: Artifact
    quantized: Artifact
    references: Mapping[str, Artifact]
    exporter: Exporter
    questions: ExampleSet[Any]
    task: AnyTask
    tolerance: Tolerance

    name = "verify"
    version = 3

    def settings(self) -> Mapping[str, Any]:
        return {
            "target": self.exporter.target,
            "task": self.task.model_dump(mode="json"),
            "questions": self.tolerance.questions,
            "emulated_questions": self.tolerance.emulated_questions,
            "not_run": self.exporter.why_not_run() or "",
        }

    def parents(self) -> Mapping[str, str]:
        return {
            "program": self.exported.sha256,
            "student": self.quantized.sha256,
            "questions": self.questions.identity(),
            **{name: self.references[name].sha256 for name in self._compared()},
        }

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers", *self.exporter.packages)

    def _compared(self) -> tuple[str, str, str]:
        """The torch students it is held against: before quantization, with its weights, quantized alike."""
        return FLOAT32, WEIGHTS, CALLED[self.exporter.activations]

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        methods = methods_of(self.task)
        record: dict[str, Any] = {
            "target": self.exporter.target,
            "primary": methods.primary,
            "agreement": methods.agreement,
        }
        if reason := self.exporter.why_not_run():
            return _write(out, {**record, "not_run": reason, "note": reason, "metrics": {"questions": 0.0}})
        runner = self.exporter.runner(program_of(self.exported))
        metrics, predictions = self._questions(runner, out, progress)
        table = self._adversarial(runner, progress)
        worst = {name: min(table, key=lambda row: row[name]) for name in ("sqnr_db", "padding_sqnr_db")}
        metrics["adversarial_sqnr_db"] = worst["sqnr_db"]["sqnr_db"]
        metrics["padding_sqnr_db"] = worst["padding_sqnr_db"]["padding_sqnr_db"]
        found = {
            "emulated": runner.emulated,
            "note": runner.note,
            "metrics": metrics,
            "adversarial": {
                "reference": CALLED[self.exporter.activations],
                "worst": {
                    "adversarial_sqnr_db": worst["sqnr_db"]["feed"],
                    "padding_sqnr_db": worst["padding_sqnr_db"]["feed"],
                },
                "feeds": table,
            },
            "predictions": predictions,
        }
        return _write(out, {**record, **found})

    def _questions(
        self, runner: Runner, out: Path, progress: Progress
    ) -> tuple[dict[str, float], dict[str, str | float]]:
        """The program on real windows, whose logits are kept; its metrics, and its own answers.

        max_error, mean_error, cosine, sqnr_db: over all logits, against the student with the same weights.
        The task's agreement: share of examples with the same answer (the same characters, label, or value
        within its tolerance) as that student; float_ of it: as the student before quantization; quantized_:
        as the student quantized in the way of this runtime. The task's metrics of the program, with student_
        of the student; drop of the first: student − program.
        """
        methods = methods_of(self.task)
        limit = self.tolerance.emulated_questions if runner.emulated else self.tolerance.questions
        examples = self.questions.examples[:limit]
        windows = comparison.windows_of(methods, examples, checkpoint.load_tokenizer(self.quantized.path))
        target = self.exporter.target
        said = comparison.ask(
            runner, windows, lambda done: progress.update(done, len(examples), f"asking {target}")
        )
        comparison.save(said, out)
        kept = [comparison.load(self.references[name].path)[:limit] for name in self._compared()]
        found, before, weights, alike = (
            comparison.answers(methods, examples, windows, one) for one in (said, *kept)
        )
        scored, expected = (comparison.scores(methods, examples, given) for given in (found, weights))
        metrics = {
            "questions": float(len(examples)),
            "windows": float(sum(map(len, windows))),
            **comparison.apart(kept[1], said),
            methods.agreement: comparison.agreement(methods, weights, found),
            "float_agreement": comparison.agreement(methods, before, found),
            "quantized_agreement": comparison.agreement(methods, alike, found),
            "quantized_sqnr_db": comparison.apart(kept[2], said)["sqnr_db"],
            **scored,
            **{f"student_{name}": value for name, value in expected.items()},
            f"{methods.primary}_drop": expected[methods.primary] - scored[methods.primary],
        }
        return metrics, comparison.written(methods, examples, found)

    def _adversarial(self, runner: Runner, progress: Progress) -> list[dict[str, Any]]:
        """Every hostile feed against the student quantized alike, and against itself at full length."""
        alike, extents = self.alike(), methods_of(self.task).extents
        table = []
        hostile = self.feeds(runner)
        for done, feed in enumerate(hostile, start=1):
            wanted = _logits(alike, feed, len(feed.ids), extents)
            got = _logits(runner, feed, feed.length, extents)
            full = _logits(runner, feed, runner.lengths[-1], extents)
            table.append(
                {
                    "feed": feed.name,
                    "tokens": len(feed.ids),
                    "sqnr_db": min(sqnr_db(wanted, got), EXACT_DB),
                    "max_error": float(np.abs(np.nan_to_num(got, nan=np.inf) - wanted).max()),
                    "padding_sqnr_db": min(sqnr_db(got, full), EXACT_DB),
                }
            )
            progress.update(done, len(hostile), "hostile windows")
        return table

    def alike(self) -> TorchStudent:
        """The torch student quantized in the way of this runtime."""
        made = compressed.load(self.quantized.path, "student", self.task.max_length, {})
        return TorchStudent(quantized_alike(made.module, made.quantization, self.exporter.activations))

    def feeds(self, runner: Runner) -> list[Feed]:
        """The hostile windows for a program of these lengths and this student's table of words."""
        tokenizer = checkpoint.load_tokenizer(self.quantized.path)
        vocabulary = Vocabulary(
            size=student.load(self.quantized.path).config.vocabulary,
            cls=int(tokenizer.cls_token_id),
            sep=int(tokenizer.sep_token_id),
            special=tuple(tokenizer.all_special_ids),
        )
        return feeds(runner.lengths, vocabulary)


def _logits(model: Answerer, feed: Feed, length: int, extents: Sequence[Extent]) -> np.ndarray:
    """All logits of a feed's real tokens, or of its window, (n,)."""
    outputs = zip(model(*feed.padded(length)), extents, strict=True)
    return np.concatenate(
        [output[0, : len(feed.ids)] if extent == "tokens" else output[0] for output, extent in outputs]
    )


def _write(out: Path, record: dict[str, Any]) -> Mapping[str, float]:
    (out / RESULT).write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
    metrics: Mapping[str, float] = record["metrics"]
    return metrics


def judge(verified: Artifact, tolerance: Tolerance, activations: Activations = "int8-row") -> Verdict:
    """Holds a verification against a tolerance; a program that was not run gets neither verdict."""
    record = json.loads((verified.path / RESULT).read_text(encoding="utf-8"))
    metrics = record["metrics"]
    if "not_run" in record:
        return Verdict(target=record["target"], questions=0, checks=(), not_run=record["not_run"])
    worst = record["adversarial"]["worst"]
    shares = (tolerance.min_span_agreement, tolerance.min_quantized_agreement, tolerance.min_float_agreement)
    same, alike, as_float = shares if activations != "int8-tensor" else (tolerance.min_tensor_agreement,) * 3
    limits = (
        ("sqnr_db", "≥", tolerance.min_sqnr_db),
        (record["agreement"], "≥", same),
        ("quantized_agreement", "≥", alike),
        ("float_agreement", "≥", as_float),
        (f"{record['primary']}_drop", "≤", tolerance.max_f1_drop),
        ("adversarial_sqnr_db", "≥", tolerance.min_sqnr_db),
        # Padding takes part in a tensor's scale; programs that compute so take any length and are not padded.
        *([] if activations == "int8-tensor" else [("padding_sqnr_db", "≥", tolerance.min_sqnr_db)]),
    )
    return Verdict(
        target=record["target"],
        questions=int(metrics["questions"]),
        checks=tuple(
            Check(name=name, value=metrics[name], relation=relation, limit=limit, on=worst.get(name, ""))
            for name, relation, limit in limits
        ),
        note=record["note"],
    )
