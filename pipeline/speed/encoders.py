"""The encoders that inference is timed on: Hugging Face models of random weights, for the tools and for us.

Weights are drawn anew from the same seed wherever they are needed, so nothing is downloaded. Size and speed
follow from the shape alone; answers mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import (
    AutoModelForQuestionAnswering,
    BertConfig,
    DistilBertConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from pipeline import recipe
from pipeline.models import checkpoint, inherit
from pipeline.models.student import StudentModel
from pipeline.speed.arithmetic import Shape
from pipeline.stages.prune import neurons_kept
from pipeline.types import UsageError

NAMES = ("distilbert", "pocket", "tiny")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A shape with a question-answering head."""

    name: str
    title: str
    config: PretrainedConfig

    @property
    def shape(self) -> Shape:
        """For keys, and for counting FLOPs."""
        config = self.config
        neurons = config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size
        return Shape(layers=config.num_hidden_layers, hidden=config.hidden_size, neurons=neurons, labels=2)

    def published(self) -> PreTrainedModel:
        """Hugging Face's model, in evaluation mode, as from_pretrained would give it but for the weights.

        A BERT's token types are alike: our graph adds their mean to the positions (`inherit.from_teacher`), and
        both sides are to compute the same.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model: PreTrainedModel = AutoModelForQuestionAnswering.from_config(self.config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "token_type_embeddings" in name:
                    parameter.copy_(parameter[:1].expand_as(parameter))
        model.eval()
        return model

    def student(self) -> StudentModel:
        """The same weights, all layers of them, in our graph."""
        return inherit.from_teacher(self.published()).eval()


def encoder(name: str) -> Encoder:
    """distilbert (DistilBERT-base), pocket (recipe pocket's pruned student), or tiny (for tests).

    Raises UsageError for another name.
    """
    if name == "distilbert":
        return Encoder(name=name, title="DistilBERT-base", config=DistilBertConfig())
    if name == "pocket":
        return Encoder(name=name, title="pocket", config=_pocket())
    if name == "tiny":
        config = DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.2)
        return Encoder(name=name, title="two layers of 32", config=config)
    raise UsageError(f"--models must be of {', '.join(NAMES)}, got {name!r}")


def _pocket() -> BertConfig:
    """The teacher's shape with as many layers and neurons as the recipe leaves."""
    asked = recipe.load("pocket")
    config = BertConfig.from_pretrained(checkpoint.SHIPPED / "pocket-teacher")
    config.num_hidden_layers = len(asked.student.layers)
    config.intermediate_size = neurons_kept(config.intermediate_size, asked.prune.keep_neurons)
    return config
