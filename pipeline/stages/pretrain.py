"""pretrain: an encoder and plain text → a general student, distilled before it has a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline import losses
from pipeline.models import checkpoint, inherit, student
from pipeline.models.student import StudentModel
from pipeline.models.teacher import run_general, set_dropout
from pipeline.numerics import round_to_storage
from pipeline.recipe import Checkpoint, Launch, StudentShape
from pipeline.recipe import Pretrain as Settings
from pipeline.schedule import PooledSchedule
from pipeline.tasks.corpus import CorpusText
from pipeline.tasks.masking import MaskedSequences, collate
from pipeline.training import Batch, Feed, train
from pipeline.types import Progress, RecipeError


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Distils the encoder into a student that any task can start from."""

    encoder: Checkpoint
    corpus: CorpusText
    shape: StudentShape
    options: Settings
    seed: int
    launch: Launch = field(default_factory=Launch)

    name = "pretrain"
    version = 1

    def settings(self) -> Mapping[str, Any]:
        return {
            "training": self.options.model_dump(mode="json", exclude={"corpus"}),
            "student": inherit.settings(self.shape),
        }

    def parents(self) -> Mapping[str, str]:
        return {"encoder": checkpoint.identity(self.encoder), "corpus": self.corpus.identity()}

    def tools(self) -> tuple[str, ...]:
        return ("torch", "transformers")

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        folder = checkpoint.resolve(self.encoder)
        options = self.options
        check_losses(folder, self.encoder.source, options)
        tokenizer = checkpoint.load_tokenizer(folder)
        torch.manual_seed(self.seed)
        teacher = checkpoint.load_general(folder)
        if options.length > teacher.config.max_position_embeddings:
            raise RecipeError(
                f"pretrain.length is {options.length}, but {self.encoder.source} has only "
                f"{teacher.config.max_position_embeddings} positions; lower it"
            )
        packed = self.corpus.pack(
            work / "corpus", tokenizer, length=options.length, layout=options.layout, progress=progress
        )
        model = inherit.shaped(
            teacher, self.shape, "masked-language-modelling" if options.soft or options.mlm else "none"
        )
        set_dropout(model, options.dropout)
        if not options.train_word_embeddings:
            model.embeddings.word.weight.requires_grad_(False)
        feed = Feed(
            examples=MaskedSequences(packed, options.mask, self.seed),
            batches=PooledSchedule(packed, options.tokens_per_batch, options.epochs, self.seed),
            collate=collate,
        )
        loss = general_loss(teacher, model, options)
        metrics = train(
            model, loss, feed, options, seed=self.seed, work=work, progress=progress, launch=self.launch
        )
        round_to_storage(model, options.storage)
        student.save(model, out)
        checkpoint.save_tokenizer(tokenizer, out)
        metrics["corpus_tokens"] = float(packed.tokens)
        metrics["parameters"] = float(sum(p.numel() for p in model.parameters()))
        return metrics


def check_losses(folder: Path, source: str, options: Settings) -> None:
    """Refuses soft targets over the vocabulary from a teacher that has no head for them."""
    if options.soft and not checkpoint.has_vocabulary_head(folder):
        raise RecipeError(
            f"pretrain.soft needs a teacher that scores masked words, but {source} has no head for it; "
            "set pretrain.soft to 0"
        )


def general_loss(
    teacher: PreTrainedModel, model: StudentModel, options: Settings
) -> Callable[[torch.nn.Module, Batch], torch.Tensor]:
    """The weighted sum of the three losses on one batch; words are scored only where a loss covers them."""
    dimensions = inherit.teacher_dimensions(model, teacher) if options.cosine else None
    teacher.eval().requires_grad_(False).to(getattr(torch, options.precision))

    def loss(trained: torch.nn.Module, batch: Batch) -> torch.Tensor:
        mask = batch["attention_mask"]
        torch.nn.Module.to(teacher, mask.device)
        is_token, is_masked = mask.bool(), batch["words"] != losses.NOT_MASKED
        covered = {"tokens": is_token, "masked": is_masked}
        scored = None
        if options.soft or options.mlm:
            scored = covered[options.soft_positions] if options.soft else is_masked
            scored = scored | is_masked if options.mlm else scored
        with torch.no_grad():
            wanted, targets = run_general(teacher, batch, scored if options.soft else None)
        states, scores = trained(batch["input_ids"], mask, scored)
        total = torch.zeros((), device=mask.device)
        if options.cosine:
            places = covered[options.cosine_positions]
            total = total + options.cosine * losses.cosine(states, wanted[..., dimensions], places)
        if options.soft:
            assert targets is not None
            assert scored is not None
            at = covered[options.soft_positions][scored]
            total = total + options.soft * losses.soft_words(scores[at], targets[at], options.temperature)
        if options.mlm:
            total = total + options.mlm * losses.masked_words(scores, batch["words"][scored])
        return total

    return loss
