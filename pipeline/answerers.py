"""Opens whatever a verb was given, a bundle, a checkpoint folder or a hub id, as one thing that answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from pipeline import bundles
from pipeline.models import checkpoint
from pipeline.models.answerer import TorchStudent, TorchTeacher, head_of, load_checkpoint, parameters_of
from pipeline.models.student import CONFIG
from pipeline.recipe import AnyTask, Checkpoint, Task
from pipeline.store import MANIFEST
from pipeline.tasks.base import Methods
from pipeline.types import Answerer, UsageError


@dataclass(frozen=True, slots=True)
class Opened:
    """A model ready to answer, with the tokenizer and window settings that belong to it."""

    model: Answerer
    tokenizer: PreTrainedTokenizerBase
    task: AnyTask
    """A bundle's own; a checkpoint says nothing of windows and gets the default."""
    description: str
    size_bytes: int
    """The program, or a checkpoint's weights, on disk."""

    @property
    def parameters(self) -> int | None:
        """Of a torch model; a program does not tell."""
        return parameters_of(self.model) if isinstance(self.model, TorchStudent | TorchTeacher) else None

    @property
    def is_bundle(self) -> bool:
        """Whether it is a bundle's program."""
        return self.parameters is None

    def check(self, methods: Methods) -> None:
        """Raises UsageError for a torch model whose head is not the task's, or has other labels."""
        if self.is_bundle:
            return
        head, labels = head_of(self.model)
        if head != methods.head:
            raise UsageError(f"{self.description} has a head for {head}, the task needs {methods.head}")
        if head == "text-classification" and labels != methods.labels:
            raise UsageError(
                f"{self.description} has a head for {labels} labels, the task has {methods.labels}"
            )


def open_model(folder: Path, threads: int = 1) -> Opened:
    """A checked bundle run by its own runtime, or a checkpoint folder run by torch."""
    if (folder / "config.json").is_file() or (folder / CONFIG).is_file():
        model, tokenizer = load_checkpoint(folder)
        size = (folder / checkpoint.WEIGHTS).stat().st_size
        return Opened(model, tokenizer, Task(), f"checkpoint {folder} in torch", size)
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} is neither a bundle (no {MANIFEST}) nor a checkpoint (no config.json)")
    bundle = bundles.read(folder)
    if bundle.random_weights:
        raise UsageError(f"{folder} has random weights: it is for size and latency only and answers nothing")
    runner = bundle.runner(threads)
    how = f"{bundle.target}, evaluated op by op" if runner.emulated else bundle.target
    files = bundle.program.rglob("*") if bundle.program.is_dir() else (bundle.program,)
    size = sum(file.stat().st_size for file in files if file.is_file())
    tokenizer = checkpoint.load_tokenizer(folder)
    return Opened(runner, tokenizer, bundle.task, f"bundle {bundle.name} ({how})", size)


def open_source(source: str, threads: int = 1) -> Opened:
    """The same, or a hub id, which is fetched."""
    if checkpoint.locate(source) is not None or Path(source).exists():
        return open_model(checkpoint.locate(source) or Path(source), threads)
    return open_model(checkpoint.resolve(Checkpoint(source=source)), threads)


def for_questions(folder: Path, threads: int = 1) -> tuple[Opened, Task]:
    """The same where only question answering will do.

    Raises UsageError for a bundle or checkpoint of another task.
    """
    opened = open_model(folder, threads)
    kind = opened.task.kind if opened.is_bundle else head_of(opened.model)[0]
    if not isinstance(opened.task, Task) or kind != opened.task.kind:
        raise UsageError(
            f"{folder}: {bundles.other_task(kind, 'question-answering')}; use python -m pipeline.evaluate"
        )
    return opened, opened.task
