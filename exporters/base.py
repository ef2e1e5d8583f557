"""What every exporter offers: lower a student to a program, and run that program on this machine."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from pipeline.types import Activations, MissingTool, Student, UsageError

if TYPE_CHECKING:
    import torch

ALL = ("coreml", "executorch", "tflite", "onnx", "executorch-coreml")
"""What `all` stands for."""
TARGETS = (*ALL, "coreai")
"""Every target; the file is named as it, with _ for -. coreai is experimental and is asked for by name."""
INPUTS = ("input_ids", "attention_mask")
PER_TOKEN = ("start_logits", "end_logits")
"""Outputs of a question-answering program, as long as its window."""
PER_WINDOW = ("logits",)
"""The output of a classifier or regression, as wide as there are labels."""
SIGNATURES = (PER_TOKEN, PER_WINDOW)
DESCRIPTIONS: Mapping[str, str] = {
    "input_ids": "Token ids: [CLS] question [SEP] passage [SEP], or one or two texts with a [SEP] after each",
    "attention_mask": "1 for a token, 0 for padding",
    "start_logits": "How well the answer starts at each token",
    "end_logits": "How well the answer ends at each token",
    "logits": "A score for each label, or the value",
}
"""What a format with room for it says of an input or output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A program on disk. `path` is a file, or for Core ML a package folder."""

    target: str
    path: Path
    size_bytes: int
    tools: Mapping[str, str] = field(default_factory=dict)
    """Package → version of everything that shaped the bytes."""
    companions: tuple[Path, ...] = ()
    """Files for developers that lie beside the program and that no app needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What a program that cannot be run says of itself; names are in the program's order."""

    inputs: Mapping[str, str]
    """Name → type, in lower case."""
    outputs: Mapping[str, str]
    lengths: tuple[int, ...]
    """As a Runner's."""
    stored: Mapping[str, int]
    """Type → how many constants of it the program holds."""


class Runner(Protocol):
    """A loaded program.

    `lengths` are the sequence lengths it takes, ascending: a window is padded with zeros (mask 0) to the
    next of them and logits of tokens are cut back, inside the call. `emulated` says that this is not the
    runtime a phone uses, and `note` what such a run proves and what it does not.
    """

    lengths: tuple[int, ...]
    emulated: bool
    note: str

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        """int32 (1, seq) twice → PER_TOKEN, float32 (1, seq) each, or PER_WINDOW, float32 (1, labels)."""


class Exporter(Protocol):
    """One runtime. One that gives a reason in `why_not_run` is Readable as well."""

    target: str
    suffix: str
    """Of the program's file name, with the dot."""
    packages: tuple[str, ...]
    """Whose versions shape the bytes."""
    activations: Activations
    """What its programs make of the input of a linear with dynamic int8 activations."""

    def why_unavailable(self) -> str | None:
        """A sentence with the command that helps, or None when everything is here."""

    def why_not_run(self) -> str | None:
        """A sentence where this machine can make programs of the target but not run them, or None."""

    def lower(self, student: Student, out: Path) -> Lowered:
        """Writes the program, and what lies beside it, into the folder `out`."""

    def runner(self, program: Path, *, threads: int = 1) -> Runner:
        """Loads a program with what this machine has."""


@runtime_checkable
class Readable(Protocol):
    """An exporter whose programs can be read where they cannot be run."""

    def structure(self, program: Path) -> Structure:
        """What a program says of itself."""


def missing(target: str, modules: tuple[str, ...]) -> str | None:
    """The sentence for the first module that cannot be found, or None."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            return (
                f"target {target} needs the package {module}, which is not installed; "
                f"run: pip install -c constraints.txt -e '.[{target}]'"
            )
    return None


def find(target: str) -> Exporter:
    """The exporter of a target, whether or not its packages are installed; UsageError for an unknown target."""
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}; targets are {', '.join(TARGETS)} and all")
    exporter: Exporter = importlib.import_module(f"exporters.{target.replace('-', '_')}").EXPORTER
    return exporter


def get(target: str) -> Exporter:
    """The exporter of a target.

    Raises UsageError for an unknown target and MissingTool when its packages are not installed.
    """
    exporter = find(target)
    if reason := exporter.why_unavailable():
        raise MissingTool(reason)
    return exporter


def pad(ids: np.ndarray, lengths: tuple[int, ...]) -> int:
    """The length that a window of ids (1, seq) is padded to: the smallest that fits.

    Raises UsageError when the window is longer than the program's longest.
    """
    for length in lengths:
        if ids.shape[1] <= length:
            return length
    raise UsageError(f"{ids.shape[1]} tokens are more than the program's {lengths[-1]}")


def padded(
    input_ids: np.ndarray, attention_mask: np.ndarray, lengths: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask (1, seq) → int32 (1, length), contiguous, with zeros after the window."""
    extra = pad(input_ids, lengths) - input_ids.shape[1]
    ids, mask = (np.pad(array.astype(np.int32), ((0, 0), (0, extra))) for array in (input_ids, attention_mask))
    return np.ascontiguousarray(ids), np.ascontiguousarray(mask)


def signature(names: Collection[str]) -> tuple[str, ...]:
    """Which outputs a program has, in their order, from their names in any.

    Raises UsageError for a program of another kind.
    """
    found = next((outputs for outputs in SIGNATURES if set(outputs) == set(names)), None)
    if found is None:
        raise UsageError(f"the program gives {', '.join(sorted(names))}, which is no task's outputs")
    return found


def cut(name: str, output: np.ndarray, length: int) -> np.ndarray:
    """A program's output as float32, without what stands for padding."""
    kept = output[:, :length] if name in PER_TOKEN else output
    return kept.astype(np.float32, copy=False)


def int8_weights(student: Student, role: str) -> dict[str, torch.Tensor]:
    """Module path → weight, of every weight that the record stores as int8 in this role.

    Raises UsageError when the student has no such weight, or its scales are not one for each row.
    """
    parameters = dict(student.module.named_parameters())
    found = {}
    for path in student.quantization.modules(role):
        name = f"{path}.weight"
        if name not in parameters:
            raise UsageError(f"the quantization record names {name}, which the student does not have")
        axis = student.quantization.tensors[name].axis
        if axis != 0:
            raise UsageError(f"exporters take scales along axis 0, but {name} has axis {axis}")
        found[path] = parameters[name].detach()
    return found


def int8_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The int8 rows and float32 scales, (rows, columns) and (rows, 1), of a matrix that lies on the grid.

    The matrix is their product, bit for bit: on the grid the largest of a row is 127 · scale.
    """
    peak = weight.detach().abs().amax(dim=1, keepdim=True)
    scale = (peak / 127).masked_fill(peak == 0, 1.0)
    return (weight.detach() / scale).round().char(), scale


def traced_longest(longest: int) -> int:
    """The longest window to trace for, where that takes a range of lengths: one that holds 2 and 3 tokens.

    torch.export makes a dimension of 1 a constant and refuses a range of one length.
    """
    return max(longest, 3)


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Distribution name → installed version."""
    return {package: importlib.metadata.version(package) for package in packages}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what converters print, from Python or from C++, out of the terminal; errors pass through."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Left open: log handlers made meanwhile keep these streams, and write to the terminal again afterwards.
    out, err = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield
        finally:
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


def parse_targets(text: str) -> tuple[str, ...]:
    """`all`, one target, or a comma list → targets in order, each once. Raises UsageError for others."""
    names = ALL if text == "all" else tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in TARGETS:
            raise UsageError(f"unknown target {name!r}; targets are {', '.join(TARGETS)} and all")
    return names
