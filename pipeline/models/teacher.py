"""The teacher: a Hugging Face model with a task's head, run, frozen and saved the same way everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.numerics import stored

Batch = dict[str, torch.Tensor]


def run_teacher(
    model: PreTrainedModel,
    batch: Batch,
    *,
    through: torch.nn.Module | None = None,
    hidden: bool = False,
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor | None]:
    """The head's outputs and, where asked for, the last hidden states (batch, seq, hidden).

    Outputs: start and end logits (batch, seq) each, or logits (batch, labels).
    `through` is the module to call where it is not the model itself (one that wraps it).
    """
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if model.config.model_type == "bert":
        inputs["token_type_ids"] = batch["token_type_ids"]
    result = (through or model)(**inputs, output_hidden_states=hidden, return_dict=True)
    states = result.hidden_states[-1] if hidden else None
    outputs = (result.start_logits, result.end_logits) if "start_logits" in result else (result.logits,)
    return outputs, states


def run_general(
    model: PreTrainedModel, batch: Batch, scored: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Last hidden states (batch, seq, hidden) and scores (N, vocabulary) of the N tokens where `scored`.

    Scores are None when none are asked for; asking needs a masked-language model.
    """
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    states = model.base_model(**inputs, return_dict=True).last_hidden_state
    if scored is None:
        return states, None
    head: Any = model
    some = states[scored]
    if model.config.model_type == "bert":
        return states, head.cls(some)
    some = head.vocab_layer_norm(head.activation(head.vocab_transform(some)))
    return states, head.vocab_projector(some)


def set_dropout(model: torch.nn.Module, share: float) -> None:
    """The same dropout everywhere, attention weights included."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share


def freeze_word_embeddings(model: PreTrainedModel, storage: str) -> None:
    """Puts the word embeddings on the storage grid now and keeps them there."""
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.nn.Parameter)
    with torch.no_grad():
        table.copy_(stored(table, storage))
    table.requires_grad_(False)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """A Hugging Face checkpoint: config.json, model.safetensors, tokenizer files."""
    model.save_pretrained(out, max_shard_size="100GB")
    tokenizer.save_pretrained(out)
