"""distil: a teacher → a student of some of its layers, taught by the teacher's own answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline import losses, targets
from pipeline.models import checkpoint, inherit, student
from pipeline.models.student import Head, StudentModel
from pipeline.models.teacher import run_teacher, set_dropout
from pipeline.numerics import round_to_storage
from pipeline.recipe import Distil as Settings
from pipeline.recipe import Launch, StudentShape, Task
from pipeline.schedule import Schedule
from pipeline.targets import Extent, Outputs, Source, Stored
from pipeline.tasks.dataset import QuestionSet, Windows
from pipeline.training import Batch, Feed, train
from pipeline.types import Artifact, Progress, RecipeError

HEAD: Head = "question-answering"


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Trains the student on soft targets, hard labels and the teacher's last hidden states."""

    teacher: Artifact
    questions: QuestionSet
    task: Task
    shape: StudentShape
    options: Settings
    seed: int
    launch: Launch = field(default_factory=Launch)
    general: Artifact | None = None
    """A student from task-agnostic distillation to start from, in place of the shape's own beginning."""

    name = "distil"
    version = 2

    def settings(self) -> Mapping[str, Any]:
        return {
            "training": self.options.model_dump(mode="json"),
            "student": None if self.general else inherit.settings(self.shape),
            "max_length": self.task.max_length,
            "stride": self.task.stride,
        }

    def parents(self) -> Mapping[str, str]:
        found = {"teacher": self.teacher.sha256, "questions": self.questions.identity()}
        if self.general:
            found["student"] = self.general.sha256
        elif self.shape.source:
            found["student"] = checkpoint.identity(self.shape)
        return found

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        teacher = checkpoint.load_model(self.teacher.path)
        tokenizer = checkpoint.load_tokenizer(self.teacher.path)
        model = self.initial(teacher, tokenizer)
        feed = self.questions.feed(tokenizer, self.task, self.options, self.seed, progress)
        set_dropout(model, self.options.dropout)
        if not self.options.train_word_embeddings:
            model.embeddings.word.weight.requires_grad_(False)
        taught = self._taught(teacher, model, feed, work, progress)
        metrics = train(
            model,
            self._loss(teacher, model, taught),
            feed,
            self.options,
            seed=self.seed,
            work=work,
            progress=progress,
            launch=self.launch,
        )
        round_to_storage(model, self.options.storage)
        student.save(model, out)
        checkpoint.save_tokenizer(tokenizer, out)
        metrics["parameters"] = float(sum(p.numel() for p in model.parameters()))
        return metrics

    def initial(self, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> StudentModel:
        """The student before training: a general one, the shape's, or a checkpoint of the same vocabulary."""
        torch.manual_seed(self.seed)
        if self.general is not None:
            return inherit.with_head(student.load(self.general.path), HEAD, task_teacher=teacher)
        if self.shape.source is None:
            return inherit.shaped(teacher, self.shape, HEAD)
        folder = checkpoint.resolve(self.shape)
        if checkpoint.load_tokenizer(folder).get_vocab() != tokenizer.get_vocab():
            raise RecipeError(
                f"student {self.shape.source} and the teacher have different vocabularies; "
                "soft targets need the same tokens"
            )
        return inherit.from_teacher(checkpoint.load_model(folder))

    def _outputs(self, teacher: PreTrainedModel, model: StudentModel) -> Source:
        """The teacher's start and end logits, and its last states where the cosine loss wants them."""
        options = self.options
        dimensions = inherit.teacher_dimensions(model, teacher) if options.cosine else None
        teacher.eval().requires_grad_(False).to(getattr(torch, options.precision))

        def outputs(batch: Batch) -> Outputs:
            torch.nn.Module.to(teacher, batch["attention_mask"].device)
            with torch.no_grad():
                start, end, states = run_teacher(teacher, batch, hidden=bool(options.cosine))
            return (start, end) if states is None else (start, end, states[..., dimensions])

        return outputs

    def _taught(
        self, teacher: PreTrainedModel, model: StudentModel, feed: Feed, work: Path, progress: Progress
    ) -> Source:
        """The same, or a reader of what it says of every window, computed once."""
        source, options = self._outputs(teacher, model), self.options

        def stored() -> Stored:
            extents: list[Extent] = ["tokens"] * (3 if options.cosine else 2)
            assert isinstance(feed.examples, Windows)
            lengths = [len(window.ids) for window in feed.examples.windows]
            order = Schedule(lengths, options.tokens_per_batch, 1.0, self.seed).batches
            return Stored(work / "teacher", source, feed, lengths, order, extents)

        return targets.chosen(stored, source, options.epochs, self.launch.teacher_outputs, progress)

    def _loss(self, teacher: PreTrainedModel, model: StudentModel, taught: Source | None = None) -> Any:
        """`taught` gives the teacher's outputs where they are not computed anew."""
        options = self.options
        taught = taught or self._outputs(teacher, model)

        def loss(trained: torch.nn.Module, batch: Batch) -> torch.Tensor:
            mask = batch["attention_mask"]
            start, end, *wanted = taught(batch)
            *logits, states = trained(batch["input_ids"], mask, with_states=True)
            golds = batch["start_positions"], batch["end_positions"]
            total = torch.zeros((), device=mask.device)
            if options.cosine:
                total = options.cosine * losses.cosine(states, wanted[0], mask)
            for given, target, gold in zip(logits, (start, end), golds, strict=True):
                total = total + 0.5 * (
                    options.soft * losses.soft(given, target, mask, options.temperature)
                    + options.hard * losses.hard(given, gold, mask)
                )
            return total

        return loss
