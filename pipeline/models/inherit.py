"""Where a student's weights come from: teacher layers, a narrower slice, a general student, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.models.student import Head, LayerShape, StudentConfig, StudentModel, build
from pipeline.recipe import StudentShape
from pipeline.types import RecipeError, UsageError

TYPES = "embeddings.token_type_embeddings.weight"
RANDOM_DEVIATION = 0.02
"""Of weights drawn at random (Devlin et al. 2018's code)."""


def alternate(layers: int) -> tuple[int, ...]:
    """Every other layer, from the first (Sanh et al. 2019, section 3): 12 → 0 2 4 6 8 10."""
    return tuple(range(0, layers, 2))


def from_teacher(
    teacher: PreTrainedModel,
    layers: tuple[int, ...] | None = None,
    *,
    hidden: int | None = None,
    head: Head = "question-answering",
    labels: int = 2,
) -> StudentModel:
    """A student made of some of a BERT's or DistilBERT's layers; all of them when `layers` is None.

    `hidden` keeps only the most important dimensions of the hidden states (see `important_dimensions`).
    Token-type embeddings are folded away: their mean over the two segments joins the position embeddings.
    A head that the teacher lacks, or reads from its pooler, starts at random.
    Raises UsageError when the teacher has no such layer or is not so wide.
    """
    depth, width = teacher.config.num_hidden_layers, teacher.config.hidden_size
    chosen = tuple(range(depth)) if layers is None else layers
    if max(chosen) >= depth:
        raise UsageError(
            f"student.layers asks for layer {max(chosen)}, but the teacher has layers 0 to {depth - 1}"
        )
    if hidden is not None and hidden > width:
        raise UsageError(f"student.hidden is {hidden}, but the teacher is only {width} wide; lower it")
    model = build(config_of(teacher, chosen, head, labels))
    draw(model)
    model.load_state_dict({**model.state_dict(), **_inherited(teacher, chosen, set(model.state_dict()))})
    if hidden is None or hidden == width:
        return model
    return narrowed(model, important_dimensions(teacher, hidden))


def config_of(
    model: PreTrainedModel, layers: tuple[int, ...], head: Head = "question-answering", labels: int = 2
) -> StudentConfig:
    """The shapes of a student with so many of a BERT's or DistilBERT's layers, none narrowed."""
    config, family = model.config, model.config.model_type
    heads = config.num_attention_heads
    neurons = config.intermediate_size if family == "bert" else config.hidden_dim
    return StudentConfig(
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        hidden=config.hidden_size,
        head_size=config.hidden_size // heads,
        layers=tuple(LayerShape(heads, neurons) for _ in layers),
        norm_eps=getattr(config, "layer_norm_eps", 1e-12),
        activation=config.hidden_act if family == "bert" else config.activation,
        head=head,
        labels=labels,
    )


def shaped(teacher: PreTrainedModel, shape: StudentShape, head: Head, labels: int = 2) -> StudentModel:
    """The student that a recipe's shape asks for."""
    depth = teacher.config.num_hidden_layers
    layers = alternate(depth) if shape.layers == "alternate" else shape.layers
    model = from_teacher(teacher, layers, hidden=shape.hidden, head=head, labels=labels)
    if shape.initial == "random":
        draw(model)
    return model


def settings(shape: StudentShape) -> dict[str, Any]:
    """What of a shape determines a student made of a teacher."""
    return shape.model_dump(mode="json", include={"layers", "hidden", "initial"})


def teacher_dimensions(model: StudentModel, teacher: PreTrainedModel) -> list[int] | slice:
    """Which of the teacher's hidden dimensions the student's are compared with.

    Raises RecipeError for a student of another width that did not come from this teacher's.
    """
    if model.config.teacher_dimensions is not None:
        return list(model.config.teacher_dimensions)
    if model.config.hidden != teacher.config.hidden_size:
        raise RecipeError(
            f"cosine needs a student as wide as the teacher, {teacher.config.hidden_size}; this one is "
            f"{model.config.hidden}: set cosine to 0"
        )
    return slice(None)


def _inherited(teacher: PreTrainedModel, chosen: tuple[int, ...], wanted: set[str]) -> dict[str, torch.Tensor]:
    """What the teacher has of the student's weights, under the student's names, token types folded away."""
    heads = _DISTILBERT_HEADS if teacher.config.model_type == "distilbert" else _BERT_HEADS
    found = weights_of(teacher, chosen, wanted, heads)
    types = teacher.base_model.state_dict().get(TYPES)
    if types is not None:
        found["embeddings.position.weight"] += types.detach().float().mean(dim=0)
    return found


def weights_of(
    model: PreTrainedModel, chosen: tuple[int, ...], wanted: set[str], heads: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Copies of a BERT's or DistilBERT's weights under the student's names, as many of those wanted as it has.

    `heads`: a student's module outside of the encoder → the model's.
    """
    encoder, whole = model.base_model.state_dict(), model.state_dict()
    inner, outer = (_BERT, "encoder.layer")
    if model.config.model_type == "distilbert":
        inner, outer = (_DISTILBERT, "transformer.layer")
    found = {}
    for name in wanted:
        module, _, kind = name.rpartition(".")
        if module.startswith("layers."):
            _, index, part = module.split(".", 2)
            found[name] = encoder[f"{outer}.{chosen[int(index)]}.{inner[part]}.{kind}"]
        elif module in inner:
            found[name] = encoder[f"{inner[module]}.{kind}"]
        elif f"{heads.get(module)}.{kind}" in whole:
            found[name] = whole[f"{heads[module]}.{kind}"]
    return {name: tensor.detach().float().clone() for name, tensor in found.items()}


def draw(model: StudentModel) -> None:
    """Draws all weights at random, as BERT starts: normal with deviation 0.02, gains 1, biases 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0.0, RANDOM_DEVIATION)
            else:
                parameter.fill_(1.0 if "norm.weight" in name else 0.0)


def important_dimensions(teacher: PreTrainedModel, hidden: int) -> torch.Tensor:
    """The `hidden` dimensions of the hidden states that matter most, in ascending order, int (hidden,).

    A dimension's importance is the sum, over the word embeddings and every linear of the encoder that
    reads or writes hidden states, of its squared weights as a share of that matrix's.
    """
    width = teacher.config.hidden_size
    totals = torch.zeros(width, dtype=torch.float64)
    for name, weight in teacher.base_model.state_dict().items():
        if weight.dim() != 2 or "pooler" in name or "position" in name or "token_type" in name:
            continue
        squared = weight.detach().double() ** 2
        for axis in (0, 1):
            if squared.shape[axis] == width:
                share = squared.sum(dim=1 - axis) / squared.sum()
                totals += share if _touches_states(name, axis) else 0.0
    return torch.sort(torch.argsort(totals, descending=True, stable=True)[:hidden]).values


def _touches_states(name: str, axis: int) -> bool:
    """Whether this axis of an encoder's matrix is the hidden states': what it writes (0) or reads (1)."""
    writes = any(part in name for part in ("output.dense", "out_lin", "lin2"))
    return axis == 0 if writes else axis == 1


def narrowed(model: StudentModel, kept: torch.Tensor) -> StudentModel:
    """The same student on some dimensions of its hidden states; heads and neurons stay as they are."""
    smaller = build(replace(model.config, hidden=len(kept), teacher_dimensions=tuple(kept.tolist())))
    state = {}
    for name, tensor in model.state_dict().items():
        wanted = smaller.state_dict()[name].shape
        for axis, size in enumerate(wanted):
            if _is_state_axis(name, axis) and tensor.shape[axis] != size:
                tensor = tensor.index_select(axis, kept)
        state[name] = tensor.clone()
    smaller.load_state_dict(state)
    return smaller


def _is_state_axis(name: str, axis: int) -> bool:
    """Whether an axis of a student's weight runs along the hidden states."""
    module = name.rsplit(".", 1)[0].rsplit(".", 1)[-1]
    if module in ("query", "key", "value", "inner", "word", "position", "qa_outputs", "classifier"):
        return axis == 1
    if module in ("output", "outer"):
        return axis == 0
    return module != "vocabulary"


def with_head(
    general: StudentModel, head: Head, labels: int = 2, task_teacher: PreTrainedModel | None = None
) -> StudentModel:
    """A general student with a task's head: the task teacher's where it has one of the same width."""
    model = build(replace(general.config, head=head, labels=labels))
    draw(model)
    state = model.state_dict()
    state.update({name: tensor for name, tensor in general.state_dict().items() if name in state})
    if task_teacher is not None:
        theirs = task_teacher.state_dict()
        for name in ("qa_outputs.weight", "qa_outputs.bias"):
            if name in state and name in theirs and theirs[name].shape == state[name].shape:
                state[name] = theirs[name].detach().float().clone()
    model.load_state_dict(state)
    return model


_BERT = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.inner": "intermediate.dense",
    "feed_forward.outer": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
_BERT_HEADS = {
    "qa_outputs": "qa_outputs",
    "vocabulary": "cls.predictions",
    "vocabulary.dense": "cls.predictions.transform.dense",
    "vocabulary.norm": "cls.predictions.transform.LayerNorm",
}
_DISTILBERT = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "feed_forward.inner": "ffn.lin1",
    "feed_forward.outer": "ffn.lin2",
    "feed_forward_norm": "output_layer_norm",
}
_DISTILBERT_HEADS = {
    "qa_outputs": "qa_outputs",
    "vocabulary": "vocab_projector",
    "vocabulary.dense": "vocab_transform",
    "vocabulary.norm": "vocab_layer_norm",
}
