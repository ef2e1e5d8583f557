"""The student, which is also the export-ready graph: a BERT encoder without token types and pooler.

Layers may differ in heads and neurons, so that pruning makes tensors smaller. Nothing in the graph troubles a
phone: the mask is finite (−1e4 fits fp16), ids are int32, every shape follows from the input's length.

Legend: B batch, S sequence, H heads, D head size, E hidden size.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from pipeline.types import UsageError

CONFIG = "student.json"
WEIGHTS = "model.safetensors"
MASKED = -1e4


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


class Embeddings(nn.Module):
    """Word plus position, normalised. int (B, S) → float (B, S, E)."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocabulary, config.hidden)
        self.position = nn.Embedding(config.positions, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.dropout = nn.Dropout(0.0)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x_BSE: torch.Tensor = self.norm(self.word(input_ids) + self.position(places))
        out_BSE: torch.Tensor = self.dropout(x_BSE)
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
    """input_ids, attention_mask: int (B, S) → start_logits, end_logits: float (B, S)."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, shape) for shape in config.layers)
        self.qa_outputs = nn.Linear(config.hidden, 2)

    def states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states, (B, S, E)."""
        x_BSE = self.embeddings(input_ids)
        bias_B11S = (1.0 - attention_mask.to(x_BSE.dtype))[:, None, None, :] * MASKED
        for layer in self.layers:
            x_BSE = layer(x_BSE, bias_B11S)
        return x_BSE  # type: ignore[no-any-return]

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, with_states: bool = False
    ) -> tuple[torch.Tensor, ...]:
        x_BSE = self.states(input_ids, attention_mask)
        logits = self.qa_outputs(x_BSE)
        start, end = logits[:, :, 0], logits[:, :, 1]
        return (start, end, x_BSE) if with_states else (start, end)


def alternate(layers: int) -> tuple[int, ...]:
    """Every other layer, from the first (Sanh et al. 2019, section 3): 12 → 0 2 4 6 8 10."""
    return tuple(range(0, layers, 2))


def from_teacher(teacher: PreTrainedModel, layers: tuple[int, ...] | None = None) -> StudentModel:
    """A student made of some of a BERT's or DistilBERT's layers; all of them when `layers` is None.

    Token-type embeddings are folded away: their mean over the two segments joins the position embeddings.
    Raises UsageError when the teacher has no such layer.
    """
    family = teacher.config.model_type
    depth = teacher.config.num_hidden_layers
    chosen = tuple(range(depth)) if layers is None else layers
    if max(chosen) >= depth:
        raise UsageError(
            f"student.layers asks for layer {max(chosen)}, but the teacher has layers 0 to {depth - 1}"
        )
    config = teacher.config
    heads, hidden = config.num_attention_heads, config.hidden_size
    neurons = config.intermediate_size if family == "bert" else config.hidden_dim
    student = StudentModel(
        StudentConfig(
            vocabulary=config.vocab_size,
            positions=config.max_position_embeddings,
            hidden=hidden,
            head_size=hidden // heads,
            layers=tuple(LayerShape(heads, neurons) for _ in chosen),
            norm_eps=getattr(config, "layer_norm_eps", 1e-12),
            activation=config.hidden_act if family == "bert" else config.activation,
        )
    )
    weights = teacher.state_dict()
    renamed = _BERT if family == "bert" else _DISTILBERT
    state = {}
    for name in student.state_dict():
        module, kind = name.rsplit(".", 1)
        if module.startswith("layers."):
            _, index, inner = module.split(".", 2)
            source = renamed["layers"].format(chosen[int(index)]) + "." + renamed[inner]
        else:
            source = renamed[module]
        state[name] = weights[f"{source}.{kind}"].float().clone()
    types = weights.get("bert.embeddings.token_type_embeddings.weight")
    if types is not None:
        state["embeddings.position.weight"] += types.float().mean(dim=0)
    student.load_state_dict(state)
    return student


_BERT = {
    "embeddings.word": "bert.embeddings.word_embeddings",
    "embeddings.position": "bert.embeddings.position_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
    "layers": "bert.encoder.layer.{}",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.inner": "intermediate.dense",
    "feed_forward.outer": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
    "qa_outputs": "qa_outputs",
}
_DISTILBERT = {
    "embeddings.word": "distilbert.embeddings.word_embeddings",
    "embeddings.position": "distilbert.embeddings.position_embeddings",
    "embeddings.norm": "distilbert.embeddings.LayerNorm",
    "layers": "distilbert.transformer.layer.{}",
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "feed_forward.inner": "ffn.lin1",
    "feed_forward.outer": "ffn.lin2",
    "feed_forward_norm": "output_layer_norm",
    "qa_outputs": "qa_outputs",
}


def save(model: StudentModel, folder: Path) -> None:
    """student.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(asdict(model.config), indent=1), encoding="utf-8")
    weights = {name: t.detach().float().contiguous() for name, t in model.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})


def load(folder: Path) -> StudentModel:
    """The model that `save` wrote, in evaluation mode."""
    table = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    shapes = tuple(LayerShape(**shape) for shape in table.pop("layers"))
    model = StudentModel(StudentConfig(layers=shapes, **table))
    model.load_state_dict(load_file(str(folder / WEIGHTS)))
    return model.eval()
