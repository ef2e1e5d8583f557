"""A fine-tuned checkpoint as the export-ready graph: every layer, token types, pooler and head as they are.

Programs take ids and a mask only, so the graph tells token types from the ids: the second segment begins after
the first separator. A checkpoint for which they make no difference gets a graph without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models import checkpoint, inherit
from pipeline.models.student import Head, StudentModel, build
from pipeline.types import UsageError

ACTIVATIONS: Mapping[str, str] = {
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    # One function under five names; written out, because ExecuTorch's delegate takes the fused one for gelu.
    **dict.fromkeys(
        ("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"), "gelu_new"
    ),
    **dict.fromkeys(("silu", "swish"), "silu"),
    "relu": "relu",
}
"""A config's activation → the graph's."""
POOLERS = {"bert": "tanh", "distilbert": "relu"}
"""Family → activation after the dense layer before a classifier."""
_HEADS: Mapping[str, Mapping[str, str]] = {
    "bert": {"qa_outputs": "qa_outputs", "pooler": "bert.pooler.dense", "classifier": "classifier"},
    "distilbert": {"qa_outputs": "qa_outputs", "pooler": "pre_classifier", "classifier": "classifier"},
}
PAIR = ("one text", "and another")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a checkpoint's files say it is."""

    head: Head
    labels: tuple[str, ...]
    """Names of a classifier's labels; none for questions and for a regression."""
    positions: int
    """Longest window in tokens."""


def describe(folder: Path) -> Described:
    """What a checkpoint folder holds, from its files alone.

    Raises UsageError for one that cannot be exported: damaged, of another family, without one of the heads, or
    with something that the graph does not have.
    """
    checkpoint.check_folder(folder)
    table = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # the config classes check themselves, and raise several kinds
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder}/config.json describes no {table['model_type']}: {reason}") from None
    if table.get("is_decoder") or table.get("add_cross_attention"):
        raise UsageError(f"{folder} is a decoder (is_decoder, add_cross_attention); only encoders are exported")
    positions = table.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise UsageError(f"{folder} has {positions!r} position embeddings; only absolute ones are exported")
    if table.get("pruned_heads"):
        raise UsageError(
            f"{folder} lacks attention heads (pruned_heads in its config.json); export it with all its heads"
        )
    if table.get("quantization_config"):
        raise UsageError(f"{folder} holds quantized weights; give the float checkpoint they were made from")
    activation = config.hidden_act if config.model_type == "bert" else config.activation
    if activation not in ACTIVATIONS:
        raise UsageError(f"{folder} has the activation {activation!r}; supported are {', '.join(ACTIVATIONS)}")
    head = next((head for head in checkpoint.HEADS if checkpoint.has_head(folder, head)), None)
    if head is None:
        raise UsageError(
            f"{folder} has no head for question answering, classification or regression; "
            f"teach it first: python -m pipeline.run --teacher {folder}"
        )
    width, heads = config.hidden_size, config.num_attention_heads
    if width % heads:
        raise UsageError(
            f"{folder}/config.json says {heads} heads for a width of {width}, which is no multiple"
        )
    if head == "question-answering" and config.num_labels != 2:
        raise UsageError(f"{folder} scores {config.num_labels} values a token, not an answer's start and end")
    problem = table.get("problem_type")
    if problem == "multi_label_classification" or (problem == "regression" and config.num_labels != 1):
        raise UsageError(
            f"{folder} gives a text several labels or values; one label, or one value, is supported"
        )
    return Described(head=head, labels=_labels(config, head, folder), positions=config.max_position_embeddings)


def _labels(config: PreTrainedConfig, head: Head, folder: Path) -> tuple[str, ...]:
    count = int(config.num_labels or 0)
    if head == "question-answering" or count == 1:
        return ()
    known = {int(number): str(name) for number, name in (config.id2label or {}).items()}
    names = tuple(known.get(number, str(number)) for number in range(count))
    if len(set(names)) != len(names) or not names:
        raise UsageError(
            f"{folder} has labels of the same name (id2label in its config.json); make them differ"
        )
    return names


def adopted(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, described: Described) -> StudentModel:
    """The whole of a Hugging Face model with the head that was described.

    Row 0 of the token types joins the positions; row 1, where it differs and the tokenizer uses it, becomes the
    second segment's offset. Raises UsageError for a tokenizer whose second segment begins elsewhere.
    """
    family, layers = model.config.model_type, tuple(range(model.config.num_hidden_layers))
    types = model.base_model.state_dict().get(inherit.TYPES)
    differ = types is not None and len(types) > 1 and not torch.equal(types[0], types[1])
    config = inherit.config_of(model, layers, described.head, max(len(described.labels), 1))
    config = replace(
        config,
        activation=ACTIVATIONS[config.activation],
        separator=separator(tokenizer) if differ else None,
        pooler=POOLERS[family] if described.head == "text-classification" else None,
    )
    made = build(config)
    weights = inherit.weights_of(model, layers, set(made.state_dict()), _HEADS[family])
    if types is not None:
        rows = types.detach().float()
        weights["embeddings.position.weight"] += rows[0]
        if config.separator is not None:
            weights["embeddings.second.offset"] = rows[1] - rows[0]
    made.load_state_dict(weights)
    return made.eval()


def separator(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Id of the token after which a tokenizer's second segment begins; None where it makes no token types.

    Raises UsageError where the second segment does not begin after the first separator.
    """
    encoded = tokenizer(*PAIR)
    types = encoded.get("token_type_ids")
    if types is None or not any(types):
        return None
    ids, mark = np.array(encoded["input_ids"]), tokenizer.sep_token_id
    if mark is None or not np.array_equal(types_of(ids, int(mark)), np.array(types)):
        raise UsageError(
            f"the tokenizer's token types are {types} for a pair of texts; only a second segment that begins "
            "after the first separator is supported"
        )
    return int(mark)


def types_of(ids: np.ndarray, mark: int) -> np.ndarray:
    """Token types by the graph's rule: 1 after the first `mark`. int (seq,) → int (seq,)."""
    found = np.flatnonzero(ids == mark)
    first = found[0] if len(found) else len(ids)
    return (np.arange(len(ids)) > first).astype(np.int64)
