"""Checkpoints of every architecture that is exported: tiny, of random weights, made by transformers itself.

The name of each says family, head and what is odd about it.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)

WORDS = ("the", "of", "and", "was", "who", "where", "mill", "built", "tower", "river", "by", "in", "ing", "ed")


@dataclass(frozen=True)
class Made:
    """How a checkpoint is made. `layers` may be cut where one is lowered."""

    build: Callable[[int, int], PreTrainedModel]
    """Vocabulary, layers → model."""
    cased: bool = False
    pad_last: bool = False
    """Whether [PAD] is the last token of the vocabulary, not the first."""


def _bert(kind: Any, **settings: Any) -> Callable[[int, int], PreTrainedModel]:
    def build(vocabulary: int, layers: int) -> PreTrainedModel:
        config = BertConfig(vocab_size=vocabulary, num_hidden_layers=layers, initializer_range=0.2, **settings)
        model: PreTrainedModel = kind(config)
        return model

    return build


def _distilbert(kind: Any, **settings: Any) -> Callable[[int, int], PreTrainedModel]:
    def build(vocabulary: int, layers: int) -> PreTrainedModel:
        config = DistilBertConfig(vocab_size=vocabulary, n_layers=layers, initializer_range=0.2, **settings)
        model: PreTrainedModel = kind(config)
        return model

    return build


SMALL = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
LABELS = {0: "no", 1: "perhaps", 2: "yes"}
ARCHITECTURES = {
    "bert-qa-uncased": Made(_bert(BertForQuestionAnswering, **SMALL)),
    "bert-qa-cased-heads-of-7": Made(
        _bert(
            BertForQuestionAnswering,
            hidden_size=21,
            num_attention_heads=3,
            intermediate_size=50,
            max_position_embeddings=515,
            hidden_act="gelu_new",
            layer_norm_eps=1e-5,
        ),
        cased=True,
        pad_last=True,
    ),
    "bert-qa-100-wide-one-token-type": Made(
        _bert(
            BertForQuestionAnswering,
            hidden_size=100,
            num_attention_heads=5,
            intermediate_size=37,
            type_vocab_size=1,
            hidden_act="silu",
        )
    ),
    "distilbert-qa": Made(_distilbert(DistilBertForQuestionAnswering, dim=32, n_heads=2, hidden_dim=64)),
    "distilbert-qa-30-wide-sinusoidal": Made(
        _distilbert(
            DistilBertForQuestionAnswering,
            dim=30,
            n_heads=3,
            hidden_dim=45,
            activation="relu",
            sinusoidal_pos_embds=True,
        ),
        cased=True,
    ),
    "bert-classification": Made(
        _bert(
            BertForSequenceClassification, **SMALL, id2label=LABELS, label2id={n: i for i, n in LABELS.items()}
        )
    ),
    "distilbert-classification": Made(
        _distilbert(DistilBertForSequenceClassification, dim=36, n_heads=4, hidden_dim=64, num_labels=2)
    ),
    "bert-regression": Made(
        _bert(BertForSequenceClassification, **SMALL, num_labels=1, type_vocab_size=3, hidden_act="relu")
    ),
}


def make(name: str, folder: Path, layers: int = 2) -> Path:
    """The checkpoint folder as save_pretrained writes it, tokenizer included."""
    made = ARCHITECTURES[name]
    folder.mkdir(parents=True)
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = string.ascii_letters if made.cased else string.ascii_lowercase
    pieces = list(dict.fromkeys([*letters, *string.digits, *string.punctuation, *WORDS]))
    tokens = [*special, *pieces, *(f"##{piece}" for piece in pieces)]
    tokens = [*tokens, "[PAD]"] if made.pad_last else ["[PAD]", *tokens]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=not made.cased).save_pretrained(folder)
    torch.manual_seed(len(name))
    model = made.build(len(tokens), layers).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))  # norms and biases that are not 1 and 0
    model.config.pad_token_id = tokens.index("[PAD]")
    model.save_pretrained(folder)
    return folder
