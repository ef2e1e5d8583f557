"""bundle: the folder an app or a device sees: program, tokenizer, golden cases, manifest, model card."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.base import INPUTS, PER_TOKEN, Exporter, Readable
from pipeline import bundles, golden
from pipeline.models import checkpoint, compressed
from pipeline.models.answerer import TorchStudent
from pipeline.models.linears import Linears
from pipeline.models.products import multiply_adds
from pipeline.models.student import StudentModel
from pipeline.recipe import AnyTask, Checkpoint, Classification, Data, Task
from pipeline.report import card
from pipeline.stages.export import program_of
from pipeline.tasks.dataset import ExampleSet
from pipeline.tasks.methods import methods_of
from pipeline.types import Answerer, Artifact, Progress, Student

FOLDER = "bundle"


@dataclass(frozen=True, kw_only=True)
class MakeBundle:
    """Everything in it follows from its parents: no time and no machine, so that it can be made again.

    Where the program cannot be run, golden cases are the torch student's, and the bundle says that nothing of
    the program but its structure was checked.
    """

    model_name: str
    exported: Artifact
    quantized: Artifact
    verified: Artifact
    exporter: Exporter
    golden: ExampleSet[Any]
    task: AnyTask
    golden_cases: int
    data: Data
    teacher: Checkpoint
    steps: tuple[str, ...] = card.STEPS
    """What was done to the teacher, for the card."""

    name = "bundle"
    version = 4

    def settings(self) -> Mapping[str, Any]:
        return {
            "model_name": self.model_name,
            "target": self.exporter.target,
            "task": self.task.model_dump(mode="json"),
            "golden_cases": self.golden_cases,
            "not_run": self.exporter.why_not_run() or "",
            "sources": [self.teacher.source, self.data.train.source, self.data.eval.source],
            **({} if self.steps == card.STEPS else {"steps": list(self.steps)}),
        }

    def parents(self) -> Mapping[str, str]:
        return {
            "program": self.exported.sha256,
            "student": self.quantized.sha256,
            "verification": self.verified.sha256,
            "questions": self.golden.identity(),
        }

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers", *self.exporter.packages)

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        folder = out / FOLDER
        folder.mkdir()
        program = program_of(self.exported)
        if program.is_dir():
            shutil.copytree(program, folder / program.name)
        else:
            shutil.copyfile(program, folder / program.name)
        tokenizer = checkpoint.load_tokenizer(self.quantized.path)
        checkpoint.save_tokenizer(tokenizer, folder)
        student = compressed.load(self.quantized.path, self.model_name, self.task.max_length, {})
        model, lengths, note = self._opened(program, student)
        examples, methods = self.golden.spread(self.golden_cases), methods_of(self.task)
        why_not = self.exporter.why_not_run()
        progress.update(0, 1, "recording golden cases")
        recorded = {
            "min_sqnr_db": golden.MIN_SQNR_DB,
            "recorded_from": golden.STUDENT if why_not else golden.PROGRAM,
            "cases": golden.cases(examples, model, tokenizer, methods),
        }
        (folder / bundles.GOLDEN).write_text(
            json.dumps(recorded, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )
        size = int(self.exported.metrics["size_bytes"])
        (folder / "README.md").write_text(self._card(program.name, size, note), encoding="utf-8")
        bundles.write_manifest(
            folder,
            {
                "name": self.model_name,
                **program_fields(
                    program=program.name,
                    target=self.exporter.target,
                    task=self.task,
                    lengths=lengths,
                    student=student,
                ),
                "verified": why_not is None,
                **({"why_not_verified": why_not} if why_not else {}),
                "metrics": {} if why_not else dict(self.verified.metrics),
                "made_from": dict(self.parents()),
            },
        )
        progress.update(1, 1)
        return {"program_bytes": float(size), "golden_cases": float(len(examples))}

    def _opened(self, program: Path, student: Student) -> tuple[Answerer, tuple[int, ...], str]:
        """What golden cases are asked of, the lengths that the program takes, and what its run here proves."""
        if why_not := self.exporter.why_not_run():
            assert isinstance(self.exporter, Readable)
            return TorchStudent(student.module), self.exporter.structure(program).lengths, why_not
        runner = self.exporter.runner(program)
        return runner, runner.lengths, runner.note

    def _card(self, program: str, size_bytes: int, note: str) -> str:
        metrics, methods = self.verified.metrics, methods_of(self.task)
        words, ran = methods.words, self.exporter.why_not_run() is None
        return card.render(
            card.Card(
                name=self.model_name,
                target=self.exporter.target,
                program=program,
                size_bytes=size_bytes,
                max_length=self.task.max_length,
                eval_source=self.data.eval.source,
                questions=int(metrics["questions"]),
                scores={name: metrics[name] for name in methods.metrics} if ran else {},
                primary=methods.primary,
                student_score=metrics[f"student_{methods.primary}"] if ran else 0.0,
                sqnr_db=metrics["sqnr_db"] if ran else 0.0,
                agreement=metrics[methods.agreement] if ran else 0.0,
                kind=methods.kind,
                title=words.title,
                does=words.does,
                asked=words.examples,
                same=words.same,
                input_ids=words.input_ids,
                stride=self.task.stride if isinstance(self.task, Task) else None,
                labels=self.task.labels if isinstance(self.task, Classification) else (),
                note=note,
                steps=self.steps,
                base_model=_hub_id(self.teacher.source),
                dataset=_hub_id(self.data.train.source),
            )
        )


def program_fields(
    *, program: str, target: str, task: AnyTask, lengths: Sequence[int], student: Student
) -> dict[str, Any]:
    """What a manifest says of a program: how it is fed, and what it was made of."""
    methods, module = methods_of(task), student.module
    assert isinstance(module, StudentModel | Linears)
    products = multiply_adds(module)
    return {
        "task": methods.kind,
        "target": target,
        "program": program,
        "windows": task.model_dump(mode="json"),
        "inputs": [{"name": name, "dtype": "int32", "shape": [1, "seq"]} for name in INPUTS],
        "outputs": [
            {
                "name": name,
                "dtype": "float32",
                "shape": [1, *(["seq"] if name in PER_TOKEN else [methods.labels])],
            }
            for name in methods.outputs
        ],
        "lengths": bundles.lengths_field(lengths),
        "precision": "int8" if student.quantization.modules("linear") else "float32",
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "multiply_adds": {
            "per_token": products.per_token,
            "per_pair": products.per_pair,
            **({"per_window": products.per_window} if products.per_window else {}),
        },
    }


def _hub_id(source: str) -> str | None:
    """The source where it is a hub name; a local path is nobody else's business."""
    return source if re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not Path(source).exists() else None
