"""The pairs of random weights that are timed: only their shapes matter, so nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    BertConfig,
    BertForMaskedLM,
    PreTrainedModel,
)

from pipeline.models import checkpoint, inherit
from pipeline.models.student import Head, StudentModel
from pipeline.speed.arithmetic import Shape
from pipeline.types import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A teacher's shape and the layers that its student keeps."""

    name: str
    title: str
    config: BertConfig
    layers: tuple[int, ...]

    def shape(self, *, student: bool, words: bool) -> Shape:
        """For counting FLOPs; `words`: with a head over the vocabulary, else one for answers."""
        return Shape(
            layers=len(self.layers) if student else self.config.num_hidden_layers,
            hidden=self.config.hidden_size,
            neurons=self.config.intermediate_size,
            vocabulary=self.config.vocab_size if words else 0,
            labels=0 if words else 2,
        )

    def teacher(self, *, words: bool, attention: str) -> PreTrainedModel:
        """Random weights, the same at every call, in evaluation mode."""
        torch.manual_seed(0)
        family: Any = AutoModelForMaskedLM if words else AutoModelForQuestionAnswering
        model: PreTrainedModel = family.from_config(self.config, attn_implementation=attention)
        model.train(mode=False)
        return model

    def student(self, teacher: PreTrainedModel, *, train_word_embeddings: bool) -> StudentModel:
        """The student that distillation starts from."""
        words = isinstance(teacher, BertForMaskedLM)
        head: Head = "masked-language-modelling" if words else "question-answering"
        torch.manual_seed(1)
        model = inherit.from_teacher(teacher, self.layers, head=head)
        model.embeddings.word.weight.requires_grad_(train_word_embeddings)
        return model


def pair(name: str) -> Pair:
    """pocket (MiniLM-L6 and 4 of its layers), bert-base (BERT-base and DistilBERT) or tiny (for tests)."""
    vocabulary = 30522
    if name == "pocket":
        config = BertConfig.from_pretrained(checkpoint.SHIPPED / "pocket-teacher")
        return Pair(name=name, title="MiniLM-L6 → 4 layers", config=config, layers=(0, 2, 3, 5))
    if name == "bert-base":
        return Pair(
            name=name, title="BERT-base → DistilBERT", config=BertConfig(), layers=inherit.alternate(12)
        )
    if name == "tiny":
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        )
        return Pair(name=name, title="two layers of 32 → one", config=config, layers=(0,))
    raise UsageError(f"--models must be pocket, bert-base or tiny, got {name!r}")


def attention() -> str:
    """What the pipeline's own teachers run with on this machine."""
    return "sdpa" if torch.cuda.is_available() else "eager"
