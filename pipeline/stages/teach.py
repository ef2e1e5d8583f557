"""teach: a BERT-family encoder → a teacher that answers questions, saved as a Hugging Face checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline import losses
from pipeline.models import checkpoint
from pipeline.numerics import on_grid
from pipeline.recipe import Checkpoint, Task
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
        windows = self.questions.windows(tokenizer, self.task, progress)
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

        began = time.monotonic()
        metrics = train(
            model, loss, windows, self.options, seed=self.seed, work=work, progress=progress
        )
        metrics["tokens_per_second"] = _rate(windows, self.options.epochs, began)
        round_to_storage(model, self.options.storage)
        return model, metrics


def _rate(windows: list[Any], epochs: float, began: float) -> float:
    return epochs * sum(len(w.ids) for w in windows) / (time.monotonic() - began)


def run_teacher(
    model: PreTrainedModel,
    batch: Batch,
    *,
    through: torch.nn.Module | None = None,
    hidden: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Start and end logits (batch, seq) and, where asked for, the last hidden states (batch, seq, hidden).

    `through` is the module to call where it is not the model itself (one that wraps it).
    """
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if model.config.model_type == "bert":
        inputs["token_type_ids"] = batch["token_type_ids"]
    result = (through or model)(**inputs, output_hidden_states=hidden, return_dict=True)
    states = result.hidden_states[-1] if hidden else None
    return result.start_logits, result.end_logits, states


def set_dropout(model: torch.nn.Module, share: float) -> None:
    """The same dropout everywhere, attention weights included."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share


def freeze_word_embeddings(model: PreTrainedModel, storage: str) -> None:
    """Puts the word embeddings on the storage grid now and keeps them there."""
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        table.copy_(stored(table, storage))
    table.requires_grad_(False)


def round_to_storage(model: torch.nn.Module, storage: str) -> None:
    """Rounds every matrix to the grid it will be stored on, so that what is measured is what is kept."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.copy_(stored(parameter, storage))


def stored(weight: torch.Tensor, storage: str) -> torch.Tensor:
    """A matrix as `storage` represents it, in float32."""
    if storage == "int8":
        return on_grid(weight)
    return weight.half().float() if storage == "float16" else weight


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """A Hugging Face checkpoint: config.json, model.safetensors, tokenizer files."""
    model.save_pretrained(out, max_shard_size="100GB")
    tokenizer.save_pretrained(out)
