"""A student with its quantization record, on disk and in memory: what the exporters are handed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import nn

from pipeline.models import student
from pipeline.models.student import StudentModel
from pipeline.recipe import Quantize
from pipeline.types import Quantization, RecipeError, Student, TensorPlan

RECORD = "quantization.json"


def plan(model: nn.Module, options: Quantize) -> Quantization:
    """What int8 means for every matrix of this student, in the order of its modules.

    Raises RecipeError when `keep_float` names a module that has no matrix.
    """
    tensors: dict[str, TensorPlan] = {}
    for path, module in model.named_modules():
        kept = path in options.keep_float
        if isinstance(module, nn.Linear):
            # A single output is a product and a sum to the converters, not a matrix product: it stays float.
            if options.linears == "int8" and not kept and module.out_features > 1:
                made = TensorPlan(role="linear", dtype="int8", activations="dynamic-int8")
            else:
                made = TensorPlan(role="linear", dtype="float32")
        elif isinstance(module, nn.Embedding):
            int8 = options.embeddings == "int8" and not kept
            made = TensorPlan(role="embedding", dtype="int8" if int8 else "float32")
        else:
            continue
        tensors[f"{path}.weight"] = made
    unknown = [path for path in options.keep_float if f"{path}.weight" not in tensors]
    if unknown:
        raise RecipeError(
            f"quantize.keep_float names {unknown[0]!r}, which is no linear or embedding of the student; "
            f"some are {', '.join(name.removesuffix('.weight') for name in list(tensors)[:4])}"
        )
    return Quantization(tensors=tensors)


def save(model: StudentModel, quantization: Quantization, folder: Path) -> None:
    """The student's files and quantization.json."""
    student.save(model, folder)
    table = {name: asdict(tensor) for name, tensor in quantization.tensors.items()}
    (folder / RECORD).write_text(json.dumps(table, indent=1), encoding="utf-8")


def load(folder: Path, name: str, max_length: int, metadata: Mapping[str, str]) -> Student:
    """What `save` wrote, as the exporters want it."""
    table = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    tensors = {tensor: TensorPlan(**entry) for tensor, entry in table.items()}
    module = student.load(folder)
    return Student(
        name=name,
        module=module,
        quantization=Quantization(tensors=tensors),
        max_length=max_length,
        outputs=module.outputs,
        metadata=metadata,
    )
