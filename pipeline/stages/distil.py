"""distil: a teacher → a student of some of its layers, taught by the teacher's own answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline import losses
from pipeline.models import checkpoint, student
from pipeline.models.student import StudentModel
from pipeline.models.teacher import run_teacher, set_dropout
from pipeline.numerics import round_to_storage
from pipeline.recipe import Distil as Settings
from pipeline.recipe import StudentShape, Task
from pipeline.tasks.dataset import QuestionSet
from pipeline.training import Batch, train
from pipeline.types import Artifact, Progress, RecipeError


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Trains the student on soft targets, hard labels and the teacher's last hidden states."""

    teacher: Artifact
    questions: QuestionSet
    task: Task
    shape: StudentShape
    options: Settings
    seed: int

    name = "distil"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "training": self.options.model_dump(mode="json"),
            "layers": self.shape.model_dump(mode="json")["layers"],
            "max_length": self.task.max_length,
            "stride": self.task.stride,
        }

    def parents(self) -> Mapping[str, str]:
        found = {"teacher": self.teacher.sha256, "questions": self.questions.identity()}
        if self.shape.source:
            found["student"] = checkpoint.identity(self.shape)
        return found

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        teacher = checkpoint.load_model(self.teacher.path)
        tokenizer = checkpoint.load_tokenizer(self.teacher.path)
        model = self.initial(teacher, tokenizer)
        windows = self.questions.windows(tokenizer, self.task, progress)
        set_dropout(model, self.options.dropout)
        if not self.options.train_word_embeddings:
            model.embeddings.word.weight.requires_grad_(False)
        metrics = train(
            model,
            self._loss(teacher, model.config.hidden == teacher.config.hidden_size),
            windows,
            self.options,
            seed=self.seed,
            work=work,
            progress=progress,
        )
        round_to_storage(model, self.options.storage)
        student.save(model, out)
        checkpoint.save_tokenizer(tokenizer, out)
        metrics["parameters"] = float(sum(p.numel() for p in model.parameters()))
        return metrics

    def initial(self, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> StudentModel:
        """The student before training: teacher layers, or a checkpoint of its own with the same vocabulary."""
        torch.manual_seed(self.seed)
        if self.shape.source is None:
            layers = self.shape.layers
            if layers == "alternate":
                layers = student.alternate(teacher.config.num_hidden_layers)
            return student.from_teacher(teacher, layers)
        folder = checkpoint.resolve(self.shape)
        if checkpoint.load_tokenizer(folder).get_vocab() != tokenizer.get_vocab():
            raise RecipeError(
                f"student {self.shape.source} and the teacher have different vocabularies; "
                "soft targets need the same tokens"
            )
        return student.from_teacher(checkpoint.load_model(folder))

    def _loss(self, teacher: PreTrainedModel, same_width: bool) -> Any:
        options = self.options
        if options.cosine and not same_width:
            raise RecipeError(
                "distil.cosine needs a student as wide as the teacher; set it to 0 for this student"
            )
        teacher.eval().requires_grad_(False).to(getattr(torch, options.precision))

        def loss(trained: torch.nn.Module, batch: Batch) -> torch.Tensor:
            mask = batch["attention_mask"]
            torch.nn.Module.to(teacher, mask.device)
            with torch.no_grad():
                *targets, wanted = run_teacher(teacher, batch, hidden=True)
            assert wanted is not None
            *logits, states = trained(batch["input_ids"], mask, with_states=True)
            golds = batch["start_positions"], batch["end_positions"]
            total = torch.zeros((), device=mask.device)
            if options.cosine:
                total = options.cosine * losses.cosine(states, wanted, mask)
            for given, target, gold in zip(logits, targets, golds, strict=True):
                total = total + 0.5 * (
                    options.soft * losses.soft(given, target, mask, options.temperature)
                    + options.hard * losses.hard(given, gold, mask)
                )
            return total

        return loss
