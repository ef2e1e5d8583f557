"""The student, which is also the export-ready graph: a BERT encoder and a head.

A distilled student has neither token types nor a pooler; a checkpoint that is exported as it is keeps both, the
types told by the ids, since a program has no input for them. Layers may differ in heads and neurons, so that
pruning makes tensors smaller. Nothing in the graph troubles a phone: the mask is finite (−1e4 fits fp16), ids
are int32, every shape follows from the input's length.

Legend: B batch, S sequence, H heads, D head size, E hidden size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.activations import ACT2FN

CONFIG = "student.json"
WEIGHTS = "model.safetensors"
MASKED = -1e4
FAR = 1e4
"""Further than any position; float16 holds it."""

OPTIONAL = ("separator", "pooler")
"""Fields of a config that its file leaves out when they are None."""

Head = Literal["question-answering", "text-classification", "masked-language-modelling", "none"]


@dataclass(frozen=True, slots=True)
class LayerShape:
    """How many attention heads and feed-forward neurons one layer has."""

    heads: int
    neurons: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentConfig:
    """Everything that fixes the graph's shapes."""

    vocabulary: int
    positions: int
    hidden: int
    head_size: int
    layers: tuple[LayerShape, ...]
    norm_eps: float = 1e-12
    activation: str = "gelu"
    head: Head = "question-answering"
    labels: int = 2
    """Width of a classification head; a regression has one."""
    teacher_dimensions: tuple[int, ...] | None = None
    """Which dimensions of the teacher's hidden states these are, where the student is narrower."""
    separator: int | None = None
    """Id of the token after whose first occurrence the second segment begins; None without token types."""
    pooler: str | None = None
    """Activation after a dense layer before the classifier (BERT tanh, DistilBERT relu); None without one."""


class SecondSegment(nn.Module):
    """What a token of the second segment has more than one of the first. int (B, S) → float (B, S, E).

    A float product in place of a lookup: it is 0 or the one row, which every converter leaves alone. All
    but the comparison of ids is float, positions and FAR in float16 too.
    """

    def __init__(self, hidden: int, separator: int) -> None:
        super().__init__()
        self.separator = separator
        self.offset = nn.Parameter(torch.zeros(hidden))

    def forward(self, input_ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        steps_S = places.to(self.offset.dtype)
        others_BS = (input_ids != self.separator).to(self.offset.dtype)
        first_B1 = torch.amin(steps_S + others_BS * FAR, dim=1, keepdim=True)
        after_BS = torch.clamp(steps_S - first_B1, 0.0, 1.0)
        return after_BS[:, :, None] * self.offset


class Embeddings(nn.Module):
    """Word plus position plus segment, where there is one, normalised. int (B, S) → float (B, S, E)."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocabulary, config.hidden)
        self.position = nn.Embedding(config.positions, config.hidden)
        self.second = None if config.separator is None else SecondSegment(config.hidden, config.separator)
        self.norm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.dropout = nn.Dropout(0.0)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x_BSE: torch.Tensor = self.word(input_ids) + self.position(places)
        if self.second is not None:
            x_BSE = x_BSE + self.second(input_ids, places)
        out_BSE: torch.Tensor = self.dropout(self.norm(x_BSE))
        return out_BSE


class Attention(nn.Module):
    """Self-attention over the heads that are left (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, hidden: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.query = nn.Linear(hidden, heads * head_size)
        self.key = nn.Linear(hidden, heads * head_size)
        self.value = nn.Linear(hidden, heads * head_size)
        self.output = nn.Linear(heads * head_size, hidden)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x_BSE: torch.Tensor, bias_B11S: torch.Tensor) -> torch.Tensor:
        batch, length = x_BSE.shape[0], x_BSE.shape[1]

        def split(t: torch.Tensor) -> torch.Tensor:
            return t.view(batch, length, self.heads, self.head_size).transpose(1, 2)

        q_BHSD = split(self.query(x_BSE)) * (1.0 / math.sqrt(self.head_size))
        k_BHSD, v_BHSD = split(self.key(x_BSE)), split(self.value(x_BSE))
        weights_BHSS = torch.softmax(q_BHSD @ k_BHSD.transpose(-1, -2) + bias_B11S, dim=-1)
        mixed = (self.dropout(weights_BHSS) @ v_BHSD).transpose(1, 2).reshape(batch, length, -1)
        out_BSE: torch.Tensor = self.output(mixed)
        return out_BSE


class FeedForward(nn.Module):
    """(B, S, E) → (B, S, neurons) → (B, S, E)."""

    def __init__(self, hidden: int, neurons: int, activation: str) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden, neurons)
        self.activation = ACT2FN[activation]
        self.outer = nn.Linear(neurons, hidden)

    def forward(self, x_BSE: torch.Tensor) -> torch.Tensor:
        out_BSE: torch.Tensor = self.outer(self.activation(self.inner(x_BSE)))
        return out_BSE


class Layer(nn.Module):
    """One post-norm encoder layer."""

    def __init__(self, config: StudentConfig, shape: LayerShape) -> None:
        super().__init__()
        self.attention = Attention(config.hidden, shape.heads, config.head_size)
        self.attention_norm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.feed_forward = FeedForward(config.hidden, shape.neurons, config.activation)
        self.feed_forward_norm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x_BSE: torch.Tensor, bias_B11S: torch.Tensor) -> torch.Tensor:
        x_BSE = self.attention_norm(x_BSE + self.dropout(self.attention(x_BSE, bias_B11S)))
        out_BSE: torch.Tensor = self.feed_forward_norm(x_BSE + self.dropout(self.feed_forward(x_BSE)))
        return out_BSE


class StudentModel(nn.Module):
    """The encoder; each subclass adds one head and says what it maps to."""

    outputs: tuple[str, ...] = ()
    """Names of what a program of it gives, in order."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, shape) for shape in config.layers)
        self.through: Callable[..., torch.Tensor] | None = None
        """What calls a layer in training, where it is not called directly (see `recompute`)."""

    def states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states, (B, S, E)."""
        x_BSE = self.embeddings(input_ids)
        bias_B11S = (1.0 - attention_mask.to(x_BSE.dtype))[:, None, None, :] * MASKED
        for layer in self.layers:
            through = self.through if self.training else None
            x_BSE = through(layer, x_BSE, bias_B11S) if through else layer(x_BSE, bias_B11S)
        return x_BSE  # type: ignore[no-any-return]


class AnsweringStudent(StudentModel):
    """input_ids, attention_mask: int (B, S) → start_logits, end_logits: float (B, S)."""

    outputs = ("start_logits", "end_logits")

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        self.qa_outputs = nn.Linear(config.hidden, 2)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, with_states: bool = False
    ) -> tuple[torch.Tensor, ...]:
        x_BSE = self.states(input_ids, attention_mask)
        logits = self.qa_outputs(x_BSE)
        start, end = logits[:, :, 0], logits[:, :, 1]
        return (start, end, x_BSE) if with_states else (start, end)


class ClassifyingStudent(StudentModel):
    """input_ids, attention_mask: int (B, S) → logits: float (B, labels), read from the first token."""

    outputs = ("logits",)

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        self.pooler = None if config.pooler is None else nn.Linear(config.hidden, config.hidden)
        self.pooled = None if config.pooler is None else ACT2FN[config.pooler]
        self.classifier = nn.Linear(config.hidden, config.labels)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, with_states: bool = False
    ) -> tuple[torch.Tensor, ...]:
        x_BSE = self.states(input_ids, attention_mask)
        first_BE = x_BSE[:, 0]
        if self.pooler is not None and self.pooled is not None:
            first_BE = self.pooled(self.pooler(first_BE))
        logits = self.classifier(first_BE)
        return (logits, x_BSE) if with_states else (logits,)


class VocabularyHead(nn.Module):
    """States → scores of every word, by the word embeddings themselves (Devlin et al. 2018, appendix A.1)."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.activation = ACT2FN[config.activation]
        self.norm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))

    def forward(self, x_NE: torch.Tensor, words_VE: torch.Tensor) -> torch.Tensor:
        out_NV: torch.Tensor = self.norm(self.activation(self.dense(x_NE))) @ words_VE.T + self.bias
        return out_NV


class GeneralStudent(StudentModel):
    """A student before it has a task, which was taught by hidden states alone."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, scored: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States (B, S, E), and None."""
        return self.states(input_ids, attention_mask), None


class MaskedLanguageStudent(StudentModel):
    """A student before it has a task; the head scores only the tokens that a loss asks about."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        self.vocabulary = VocabularyHead(config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, scored: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States (B, S, E) and scores (N, V) of the N tokens where `scored`, bool (B, S), is true."""
        x_BSE = self.states(input_ids, attention_mask)
        if scored is None:
            return x_BSE, None
        return x_BSE, self.vocabulary(x_BSE[scored], self.embeddings.word.weight)


HEADS: dict[Head, type[StudentModel]] = {
    "question-answering": AnsweringStudent,
    "text-classification": ClassifyingStudent,
    "masked-language-modelling": MaskedLanguageStudent,
    "none": GeneralStudent,
}


def build(config: StudentConfig) -> StudentModel:
    """An untrained student of this shape, with its head."""
    return HEADS[config.head](config)


def first_layers(model: StudentModel, depth: int) -> StudentModel:
    """The student cut after its first `depth` layers, read out by its own head, in evaluation mode."""
    cut = build(replace(model.config, layers=model.config.layers[:depth]))
    cut.load_state_dict({name: model.state_dict()[name] for name in cut.state_dict()})
    return cut.eval()


def save(model: StudentModel, folder: Path) -> None:
    """student.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    table = asdict(model.config)
    table = {name: value for name, value in table.items() if name not in OPTIONAL or value is not None}
    (folder / CONFIG).write_text(json.dumps(table, indent=1), encoding="utf-8")
    weights = {name: t.detach().float().contiguous() for name, t in model.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})


def load(folder: Path) -> StudentModel:
    """The model that `save` wrote, in evaluation mode."""
    table = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    shapes = tuple(LayerShape(**shape) for shape in table.pop("layers"))
    dimensions = table.pop("teacher_dimensions", None)
    kept = None if dimensions is None else tuple(dimensions)
    model = build(StudentConfig(layers=shapes, teacher_dimensions=kept, **table))
    model.load_state_dict(load_file(str(folder / WEIGHTS)))
    return model.eval()
