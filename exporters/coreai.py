"""Core AI, experimental: an .aimodel asset with int8 weights, made here and checked by its structure only.

coreai-torch converts on Linux; nothing there runs what it makes. Names that it draws at random are replaced,
and its notes on source files left out, by writing the program as text and reading it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.base import (
    INPUTS,
    Exporter,
    Lowered,
    Runner,
    Structure,
    int8_rows,
    int8_weights,
    missing,
    quiet,
    signature,
    traced_longest,
    versions,
)
from exporters.int8_modules import ROLES, with_int8_layers
from pipeline.types import Activations, MissingTool, PipelineError, Student, UsageError

if TYPE_CHECKING:
    import torch

MODULES = ("coreai_torch", "coreai", "torch")
WHY_NOT_RUN = (
    "coreai programs are experimental: they run on Apple's devices with OS 27 only, so that here nothing but "
    "their structure is checked"
)
SHORTEST = 2
"""torch.export makes a dimension of 1 a constant, so that a program takes at least two tokens."""
PROGRAM, HASH, METADATA = "main.mlirb", "main.hash", "metadata.json"
"""What an asset consists of."""
CREATED = "19700101T000000Z"
"""The format wants a date; a true one would change the bytes of every run."""
LONGEST_KEY = "max_length"


class CoreAI:
    """Any length: int32 (1, seq) twice → the student's outputs, seq from SHORTEST to max_length."""

    target = "coreai"
    suffix = ".aimodel"
    packages: tuple[str, ...] = ("torch", "coreai-torch", "coreai-core")
    activations: Activations = "float"
    """What becomes of the input of a linear with dynamic int8 activations."""

    def why_unavailable(self) -> str | None:
        return missing(self.target, MODULES)

    def why_not_run(self) -> str | None:
        return WHY_NOT_RUN

    def lower(self, student: Student, out: Path) -> Lowered:
        """Converts and writes the asset; the same student gives the same bytes.

        Raises UsageError for a record that does not fit the student, and PipelineError when the asset has
        not the inputs, outputs and weights that it should have.
        """
        module, asset = _quantized(student), out / f"{student.name}{self.suffix}"
        with quiet():
            _save(_settled(_converted(module, student)), student, asset)
        check(asset, student)
        return Lowered(
            target=self.target,
            path=asset,
            size_bytes=sum(path.stat().st_size for path in asset.iterdir()),
            tools=versions(self.packages),
        )

    def runner(self, program: Path, *, threads: int = 1) -> Runner:
        raise MissingTool(WHY_NOT_RUN)

    def structure(self, program: Path) -> Structure:
        """What the asset says of itself. Raises UsageError when it cannot be read."""
        return structure(program)


EXPORTER: Exporter = CoreAI()


def structure(asset: Path) -> Structure:
    """What an asset says of itself. Raises UsageError when it cannot be read."""
    with quiet():
        from coreai.authoring import AIModelAsset

        try:
            table = json.loads((asset / METADATA).read_text(encoding="utf-8"))
            summary = AIModelAsset.load(asset).summary()
            inputs, outputs = summary.function_inputs("main"), summary.function_outputs("main")
            longest = int(table["creatorDefinedMetadata"][LONGEST_KEY])
            stored = {kind.lower(): int(count) for kind, count in summary.storage_types}
        except (OSError, ValueError, KeyError, AttributeError, RuntimeError):
            raise UsageError(f"{asset} is no Core AI asset that can be read; export it again") from None
    return Structure(
        inputs={name: _kind(described) for name, described in inputs},
        outputs={name: _kind(described) for name, described in outputs},
        lengths=tuple(range(SHORTEST, longest + 1)),
        stored=stored,
    )


def _kind(described: str) -> str:
    """`NDArray (Int32, 1 × ?)` → int32."""
    match = re.search(r"\((\w+),", described)
    return match[1].lower() if match else described


def check(asset: Path, student: Student) -> None:
    """Holds an asset against the student it was made from.

    Raises PipelineError naming the first of inputs, outputs, lengths and weights that is not as it should be.
    """
    found = structure(asset)
    if dict(found.inputs) != dict.fromkeys(INPUTS, "int32"):
        raise PipelineError(f"{asset.name} takes {_listed(found.inputs)}, not {', '.join(INPUTS)} as int32")
    if dict(found.outputs) != dict.fromkeys(signature(student.outputs), "float32"):
        raise PipelineError(f"{asset.name} gives {_listed(found.outputs)}, not {', '.join(student.outputs)}")
    if found.lengths[-1] != traced_longest(student.max_length):
        raise PipelineError(f"{asset.name} takes {found.lengths[-1]} tokens, not {student.max_length}")
    content, int8 = (asset / PROGRAM).read_bytes(), 0
    if (asset / HASH).read_bytes() != hashlib.sha256(content).digest():
        raise PipelineError(f"{asset.name} holds another hash than its program's")
    for role in ROLES:
        for path, weight in int8_weights(student, role).items():
            rows, scale = int8_rows(weight)
            int8 += rows.numel()
            for part, tensor in (("integers", rows), ("scales", scale)):
                if _stored(tensor) not in content:
                    raise PipelineError(f"{asset.name} does not hold the {part} of {path}.weight")
    floats = sum(weight.numel() for weight in student.module.parameters()) - int8
    if found.stored.get("int8", 0) < int8:
        raise PipelineError(f"{asset.name} stores {found.stored.get('int8', 0)} int8 values, not {int8}")
    if int8 and found.stored.get("float32", 0) >= floats + int8:
        raise PipelineError(f"{asset.name} stores its int8 weights in float32 as well")


def _stored(tensor: torch.Tensor) -> bytes:
    """The bytes that stand for a constant: of one value where all are equal."""
    flat = tensor.flatten()
    return (flat[:1] if bool((flat == flat[0]).all()) else flat).numpy().tobytes()


def _listed(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


def _quantized(student: Student) -> torch.nn.Module:
    """A copy of the student whose int8 weights are integers and scales in Core AI's own operation for them."""
    import torch

    def dense(rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.coreai.constexpr_blockwise_shift_scale(rows, scale)
        return made

    return with_int8_layers(student, dense)


def _converted(module: torch.nn.Module, student: Student) -> str:
    """The program as text."""
    import coreai_torch._compression.custom_layers  # noqa: F401  (registers the operation of _quantized)
    import torch
    from coreai_torch import TorchConverter, get_decomp_table

    longest = traced_longest(student.max_length)
    length = torch.export.Dim("length", min=SHORTEST, max=longest)
    window = torch.zeros(1, longest, dtype=torch.int32)
    exported = torch.export.export(
        module, (window, torch.ones_like(window)), dynamic_shapes=({1: length}, {1: length})
    ).run_decompositions(get_decomp_table())
    converter = TorchConverter().add_exported_program(
        exported, input_names=list(INPUTS), output_names=list(student.outputs)
    )
    return str(converter.to_coreai())


def _settled(text: str) -> str:
    """The same program with names that count up in place of random ones: of weights and of shared functions."""
    weights: dict[str, str] = {}
    text = re.sub(
        r"\bresource_\d+\b", lambda found: weights.setdefault(found[0], f"weight_{len(weights):04}"), text
    )
    for number, (drawn, kind) in enumerate(re.findall(r'@(\w+)\(.*template_op = "(\w+)"', text)):
        text = re.sub(rf"@{drawn}\b", f"@{kind}_{number}", text)
    return text


def _save(text: str, student: Student, asset: Path) -> None:
    """The asset's three files; its metadata is written by us, for no date and no order of keys to change."""
    from coreai._compiler.ir import Module
    from coreai.authoring import AIProgram, Context

    program: Any = AIProgram._from_mlir_module(Module.parse(text, Context()._mlir_context))
    program.save_asset(asset)
    table = json.loads((asset / METADATA).read_text(encoding="utf-8"))
    entries = {**student.metadata, LONGEST_KEY: str(student.max_length)}
    table |= {
        "creationDate": CREATED,
        "author": entries.get("author", ""),
        "license": entries.get("licence", ""),
        "description": entries.get("description", ""),
        "creatorDefinedMetadata": {key: str(value) for key, value in entries.items()},
    }
    (asset / METADATA).write_text(json.dumps(table, indent=1, sort_keys=True), encoding="utf-8")
