"""A runtime that is torch itself, and every stage of a small run made once with it.

Its programs are the student's own files, or where the student is observed its exported graph, so that stages
are tested without any converter. A fake exporter can break the student on the way: `NOT_A_NUMBER`, `SWAPPED`
outputs, or a `SILENCED` feed-forward in layers.1.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exporters import base
from exporters.base import Lowered
from pipeline import recipe as recipes
from pipeline import stages
from pipeline.models import student
from pipeline.models.answerer import TorchStudent
from pipeline.models.student import AnsweringStudent, Layer, LayerShape, StudentConfig, StudentModel
from pipeline.models.taps import Tapped
from pipeline.recipe import Recipe
from pipeline.shipped import Pretrained
from pipeline.store import Stage, Store
from pipeline.tasks.corpus import CorpusText
from pipeline.tasks.dataset import QuestionSet
from pipeline.types import Activations, Artifact, Finding, Inspection, Silent, Student

Break = Callable[[Any], None]
LONGEST = 96
"""Tokens that an observed student takes."""


def NOT_A_NUMBER(model: AnsweringStudent) -> None:
    model.qa_outputs.bias.data.fill_(float("nan"))


def SWAPPED(model: AnsweringStudent) -> None:
    for parameter in (model.qa_outputs.weight, model.qa_outputs.bias):
        parameter.data.copy_(parameter.data.flip(0))


def SILENCED(model: AnsweringStudent) -> None:
    """What a converter does that loses the second layer's feed-forward."""
    if len(model.layers) > 1:
        layer = model.layers[1]
        assert isinstance(layer, Layer)
        layer.feed_forward.outer.weight.data.zero_()


class FakeRunner:
    """The program's student in torch, logits rounded to float16 as a runtime of less precision would."""

    emulated, note = False, "A fake runtime."

    def __init__(self, program: Path) -> None:
        if program.is_dir():
            model: nn.Module = student.load(program)
            longest = student.load(program).config.positions
        else:
            model, longest = torch.jit.load(str(program)), LONGEST
        self.run, self.lengths = TorchStudent(model), tuple(range(1, longest + 1))

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = self.run(input_ids, attention_mask)
        return tuple(output.astype(np.float16).astype(np.float32) for output in outputs)

    def intermediate(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, modules: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        return {}


class FakeExporter:
    """Writes a folder program: the student's config and weights, broken if it is told to."""

    target, suffix = "fake", ".fake"
    packages: tuple[str, ...] = ("torch",)
    activations: Activations = "float"

    def __init__(self, broken: Break = lambda model: None, runner: type[FakeRunner] = FakeRunner) -> None:
        self.broken, self.running = broken, runner
        self.not_run: str | None = None

    def why_unavailable(self) -> str | None:
        return None

    def why_not_run(self) -> str | None:
        return self.not_run

    def lower(self, student_: Student, out: Path) -> Lowered:
        path = out / f"{student_.name}{self.suffix}"
        if isinstance(student_.module, Tapped):
            self._trace(student_.module, path)
            return Lowered(target=self.target, path=path, size_bytes=path.stat().st_size)
        model = _copy(student_.module)
        self.broken(model)
        student.save(model, path)
        size = sum(file.stat().st_size for file in path.iterdir())
        return Lowered(target=self.target, path=path, size_bytes=size)

    def _trace(self, tapped: Tapped, path: Path) -> None:
        """An observed student as a traced graph."""
        tapped = copy.deepcopy(tapped)
        self.broken(tapped.student)
        window = torch.zeros(1, LONGEST, dtype=torch.int32)
        torch.jit.save(torch.jit.trace(tapped, (window, window + 1), check_trace=False), str(path))

    def runner(self, program: Path, *, threads: int = 1) -> FakeRunner:
        return self.running(program)


class Rules:
    """A linter of fake programs: it runs them, and finds what it is told to."""

    SUFFIXES: Mapping[str, str] = {".fake": "fake"}

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        self.given: dict[str, Any] = {}

    def inspect(self, program: Path, **given: Any) -> Inspection:
        self.given = {"program": program, **given}
        given["runner"](*given["windows"][0])
        return Inspection(findings=self.findings, skipped={"outside-delegate": "a fake has none"})


def _copy(module: Any) -> StudentModel:
    """A student of its own with the module's weights; verify also lowers students cut short."""
    assert isinstance(module, StudentModel)
    model = student.build(module.config)
    model.load_state_dict(module.state_dict())
    return model.eval()


def small_recipe(encoder: Path, questions: Path, **changed: Any) -> Recipe:
    """tiny's shape on the tests' own 8 questions: everything that a stage can do, in a second or two."""
    asked = {"source": str(questions)}
    table: dict[str, Any] = {
        "name": "small",
        "description": "for tests",
        "task": {"max_length": 96, "stride": 16},
        "data": {
            "train": asked,
            "eval": {**asked, "split": "validation"},
            "calibration": {**asked, "limit": 3},
        },
        "teacher": {"source": str(encoder)},
        "teach": {"epochs": 2, "learning_rate": 1e-3, "tokens_per_batch": 256},
        "distil": {"epochs": 2, "learning_rate": 1e-3, "tokens_per_batch": 256},
        "prune": {"keep_heads": 0.5, "keep_neurons": 0.5, "importance": "taylor"},
        "verify": {
            "questions": 5,
            "emulated_questions": 3,
            "golden_cases": 3,
            "max_f1_drop": 10.0,
            "min_float_agreement": 0.2,
        },
        "bench": {"length": 96, "runs": 3, "warmup": 1, "baseline": "bert-tiny"},
    }
    return recipes.build({**table, **changed}, "the test")


@dataclass(frozen=True)
class Chain:
    """The stages of a run, and what a store made of each."""

    recipe: Recipe
    root: Path
    stages: Mapping[str, Stage]
    made: Mapping[str, Artifact]


def make_chain(root: Path, encoder: Path, questions: Path) -> Chain:
    """Runs every stage but the benches, wired as pipeline.run does, into a store at `root`."""
    text = root.parent / "text.txt"
    text.write_text("The old mill was built by the river.\nThe tower is a bridge of light.\n" * 9, "utf-8")
    pretrain = {
        "corpus": {"source": str(text)},
        "length": 24,
        "epochs": 1,
        "tokens_per_batch": 256,
        "soft": 0.0,
        "mlm": 1.0,
    }
    recipe = small_recipe(encoder, questions, pretrain=pretrain)
    task, seed, exporter = recipe.task, recipe.seed, FakeExporter()
    train, held_out = QuestionSet(recipe.data.train), QuestionSet(recipe.data.eval)
    store = Store(root, seed=seed, shipped=Pretrained(root / "nothing"))
    run: dict[str, Stage] = {}
    made: dict[str, Artifact] = {}

    def make(stage: Stage) -> Artifact:
        run[stage.name], made[stage.name] = stage, store.make(stage, Silent())
        return made[stage.name]

    teacher = make(
        stages.Teach(encoder=recipe.teacher, questions=train, task=task, options=recipe.teach, seed=seed)
    )
    make(stages.Adopt(folder=teacher.path, task=task))
    assert recipe.pretrain is not None
    general = make(
        stages.Pretrain(
            encoder=recipe.teacher,
            corpus=CorpusText(recipe.pretrain.corpus),
            shape=recipe.student,
            options=recipe.pretrain,
            seed=seed,
        )
    )
    distilled = make(
        stages.Distil(
            teacher=teacher,
            questions=train,
            task=task,
            shape=recipe.student,
            options=recipe.distil,
            seed=seed,
            general=general,
        )
    )
    few = QuestionSet(recipe.data.calibration)
    pruned = make(stages.Prune(distilled=distilled, questions=few, task=task, options=recipe.prune))
    quantized = make(stages.Quantize(pruned=pruned, options=recipe.quantize))
    make(stages.Evaluate(model=pruned, questions=held_out, task=task))
    exported = make(
        stages.Export(
            quantized=quantized,
            exporter=exporter,
            model_name="small",
            precision="int8",
            task=task,
            options=recipe.export,
            calibration=few,
        )
    )
    make(
        stages.Lint(
            exported=exported,
            quantized=quantized,
            exporter=exporter,
            calibration=few,
            task=task,
            linter=Rules(),
        )
    )
    references = {
        name: store.make(
            stages.Reference(
                model=model,
                quantized=is_quantized,
                activations=activations,
                questions=held_out,
                task=task,
                tolerance=recipe.verify,
            ),
            Silent(),
        )
        for name, (model, is_quantized, activations) in stages.references_of(
            ["float"], pruned, quantized
        ).items()
    }
    make(
        stages.Reference(
            model=quantized,
            quantized=True,
            activations="int8-row",
            questions=held_out,
            task=task,
            tolerance=recipe.verify,
        )
    )
    verified = make(
        stages.Verify(
            exported=exported,
            quantized=quantized,
            references=references,
            exporter=exporter,
            questions=held_out,
            task=task,
            tolerance=recipe.verify,
        )
    )
    make(
        stages.MakeBundle(
            model_name="small",
            exported=exported,
            quantized=quantized,
            verified=verified,
            exporter=exporter,
            golden=held_out,
            task=task,
            golden_cases=recipe.verify.golden_cases,
            data=recipe.data,
            teacher=recipe.teacher,
        )
    )
    make(
        stages.Agree(
            quantized=quantized,
            references=references,
            verified={"fake": verified},
            questions=held_out,
            task=task,
        )
    )
    return Chain(recipe, root, run, made)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, question_file: Path) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chain"), encoder_folder, question_file)


def install(monkeypatch: pytest.MonkeyPatch, exporter: FakeExporter) -> None:
    """Makes `fake` a target as good as any other."""
    module = ModuleType("exporters.fake")
    module.EXPORTER = exporter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "exporters.fake", module)
    monkeypatch.setattr(base, "TARGETS", (*base.TARGETS, "fake"))


def random_student(
    shapes: tuple[LayerShape, ...], *, vocabulary: int = 200, hidden: int = 32
) -> AnsweringStudent:
    """A student whose every weight matters: norms, biases and matrices random and far from zero."""
    torch.manual_seed(7)
    config = StudentConfig(vocabulary=vocabulary, positions=128, hidden=hidden, head_size=8, layers=shapes)
    model = AnsweringStudent(config).eval()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
            nn.init.normal_(module.bias, std=0.3)
    return model
