"""The records and errors that cross a boundary. Imports nothing heavy: everything may import this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch


class PipelineError(Exception):
    """A failure that one sentence explains; `exit_code` is what the process returns."""

    exit_code = 1


class UsageError(PipelineError, ValueError):
    """What the user gave cannot be used: a flag, a recipe, a data file, a checkpoint folder."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that names an unknown key or holds a value outside its range."""


class DataError(UsageError):
    """A question file or passage that cannot be read as what it should be."""


class MissingTool(PipelineError):
    """A package that this target needs is not installed; the message says how to install it."""

    exit_code = 3


class VerificationFailed(PipelineError):
    """An artifact that differs from the model it was made from by more than the tolerance."""

    exit_code = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One stage's committed result. `key` is computed from inputs, `sha256` from bytes."""

    kind: str
    path: Path
    key: str
    sha256: str
    parents: tuple[str, ...]
    metrics: Mapping[str, float]
    origin: Literal["made", "reused", "shipped"] = "made"
    seconds: float = 0.0


class Progress(Protocol):
    """What a stage reports to while it works."""

    def update(self, done: float, total: float, note: str = "") -> None:
        """`done` of `total` units of work, with a short remark (a rate, a loss)."""

    def say(self, sentence: str) -> None:
        """One sentence a person should see."""


class Silent:
    """A `Progress` that shows nothing."""

    def update(self, done: float, total: float, note: str = "") -> None:
        pass

    def say(self, sentence: str) -> None:
        pass


Activations = Literal["float", "int8-row", "int8-tensor"]
"""What a runtime computes with where the record says dynamic int8 activations: the input of a linear as it is,
or rounded at every call, with a scale for each row (token) or one for the tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """What int8 means for one weight: symmetric, value = int8 · scale, scale = max|w| / 127 along `axis`."""

    role: Literal["linear", "embedding"]
    dtype: Literal["int8", "float32"]
    axis: int = 0
    activations: Literal["dynamic-int8", "float"] = "float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """The one record every exporter reads: weight name (as in the module's state dict) → plan."""

    tensors: Mapping[str, TensorPlan] = field(default_factory=dict)

    def modules(self, role: str, dtype: str = "int8") -> tuple[str, ...]:
        """Paths of the modules whose weight has this role and type, in the record's order."""
        return tuple(
            name.removesuffix(".weight")
            for name, plan in self.tensors.items()
            if plan.role == role and plan.dtype == dtype
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMLChoices:
    """What a recipe may choose of a Core ML package."""

    layout: Literal["plain", "ane"] = "plain"
    """ane: channels first, four-dimensional, linears as 1 × 1 convolutions, attention head by head."""
    lengths: Literal["range", "enumerated"] = "range"
    """range: any length (iOS 17); enumerated: the student's `lengths` only (iOS 18)."""
    activations: Literal["float16", "int8"] = "float16"
    """int8: inputs of linears too (W8A8), with ranges from the student's `calibration`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """What an exporter lowers.

    `module` maps input_ids, attention_mask, both int32 (1, seq) with seq ≤ max_length, to `outputs`:
    start_logits, end_logits, both float32 (1, seq), or logits, float32 (1, labels). Its quantized weights
    already lie on the int8 grid of `quantization`, so every runtime's own symmetric rounding finds the
    same integers.
    """

    name: str
    module: torch.nn.Module
    quantization: Quantization
    max_length: int
    outputs: tuple[str, ...] = ("start_logits", "end_logits")
    lengths: tuple[int, ...] = ()
    """Sequence lengths for a runtime whose shapes are fixed, ascending, max_length the last of them; none
    stands for max_length alone."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    """Vocabulary and tokenizer, name → path, for formats that carry them inside."""
    calibration: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    """Real windows, int32 (1, seq) twice, for ranges of activations."""
    coreml: CoreMLChoices = CoreMLChoices()


class Answerer(Protocol):
    """Anything that turns a window of token ids into logits: a torch model or a program's runner."""

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        """int32 (1, seq) twice → float32: start and end logits, (1, seq) each, or logits, (1, labels)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What lint has to say about a program: a rule's name, where in the program, and what to do about it."""

    severity: Literal["error", "warning", "note"]
    rule: str
    where: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A program held against every rule."""

    findings: tuple[Finding, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Rules that were not checked, each with the reason."""

    def count(self, severity: str) -> int:
        """How many findings have this severity."""
        return sum(finding.severity == severity for finding in self.findings)
