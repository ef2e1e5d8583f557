"""teach: a BERT-family encoder → a teacher that answers questions, saved as a Hugging Face checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline import losses
from pipeline.models import checkpoint
from pipeline.models.teacher import freeze_word_embeddings, run_teacher, save, set_dropout
from pipeline.numerics import round_to_storage
from pipeline.recipe import Checkpoint, Launch, Task
from pipeline.recipe import Teach as Settings
from pipeline.tasks.dataset import QuestionSet
from pipeline.training import Batch, train
from pipeline.types import Progress


@dataclass(frozen=True, kw_only=True)
class Teach:
    """Fine-tunes the encoder with cross-entropy on start and end; one that has a QA head is kept as it is."""

    encoder: Checkpoint
    questions: QuestionSet
    task: Task
    options: Settings
    seed: int
    launch: Launch = field(default_factory=Launch)

    name = "teach"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "training": self.options.model_dump(mode="json"),
            "max_length": self.task.max_length,
            "stride": self.task.stride,
        }

    def parents(self) -> Mapping[str, str]:
        return {
            "encoder": checkpoint.identity(self.encoder),
            "questions": self.questions.identity(),
        }

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        folder = checkpoint.resolve(self.encoder)
        tokenizer = checkpoint.load_tokenizer(folder)
        if checkpoint.has_head(folder):
            progress.say(f"{self.encoder.source} already answers questions; used as it is")
            model = checkpoint.load_model(folder)
            metrics: dict[str, float] = {}
        else:
            model, metrics = self._train(folder, tokenizer, work, progress)
        save(model, tokenizer, out)
        metrics["parameters"] = float(sum(p.numel() for p in model.parameters()))
        return metrics

    def _train(
        self, folder: Path, tokenizer: PreTrainedTokenizerBase, work: Path, progress: Progress
    ) -> tuple[PreTrainedModel, dict[str, float]]:
        feed = self.questions.feed(tokenizer, self.task, self.options, self.seed, progress)
        torch.manual_seed(self.seed)
        model = checkpoint.load_model(folder)
        set_dropout(model, self.options.dropout)
        if not self.options.train_word_embeddings:
            freeze_word_embeddings(model, self.options.storage)

        def loss(trained: torch.nn.Module, batch: Batch) -> torch.Tensor:
            start, end, _ = run_teacher(model, batch, through=trained)
            mask = batch["attention_mask"]
            return 0.5 * (
                losses.hard(start, batch["start_positions"], mask)
                + losses.hard(end, batch["end_positions"], mask)
            )

        metrics = train(
            model, loss, feed, self.options, seed=self.seed, work=work, progress=progress, launch=self.launch
        )
        round_to_storage(model, self.options.storage)
        return model, metrics
