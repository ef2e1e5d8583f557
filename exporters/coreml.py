"""Core ML: the student as an ML program for iOS 17, float16 arithmetic over int8 weights.

On a Mac the program runs in Core ML; elsewhere `exporters.mil` evaluates it, which is said in the runner.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.base import (
    INPUTS,
    PER_WINDOW,
    Exporter,
    Lowered,
    Runner,
    cut,
    int8_rows,
    missing,
    padded,
    quiet,
    signature,
    versions,
)
from pipeline.types import Activations, PipelineError, Student, UsageError

if TYPE_CHECKING:
    import torch

    from exporters.mil import Program

Predict = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Inputs by name → outputs by name."""
SHORTEST = 1
DATE_KEY = "com.github.apple.coremltools.conversion_date"
_QUANTIZED = 3  # coremltools' CompressionType.QUANTIZATION
_TEXT_IDS = "Token ids: [CLS] text [SEP], or two texts with a [SEP] after each, 1 × length"
_DESCRIPTIONS = {
    "input_ids": "Token ids: [CLS] question [SEP] passage [SEP], 1 × length",
    "attention_mask": "1 for a token, 0 for padding, 1 × length",
    "start_logits": "How well the answer starts at each token, 1 × length",
    "end_logits": "How well the answer ends at each token, 1 × length",
    "logits": "A score for each label, or the value, 1 × labels",
}
# Identifiers only have to differ inside a package; Core ML draws them at random, which would change the bytes.
_MODEL_ID, _WEIGHTS_ID = "6A1B7A0C-2F55-4E0B-9D0E-3C5D51B1F0A1", "6A1B7A0C-2F55-4E0B-9D0E-3C5D51B1F0A2"
_MANIFEST = {
    "fileFormatVersion": "1.0.0",
    "itemInfoEntries": {
        _MODEL_ID: {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": "com.apple.CoreML/model.mlmodel",
        },
        _WEIGHTS_ID: {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": "com.apple.CoreML/weights",
        },
    },
    "rootModelIdentifier": _MODEL_ID,
}


class CoreML:
    """A .mlpackage for iOS 17 and macOS 14, with one flexible length from 1 to the student's longest."""

    target = "coreml"
    suffix = ".mlpackage"
    packages: tuple[str, ...] = ("coremltools", "numpy", "protobuf", "torch")
    activations: Activations = "float"

    def why_unavailable(self) -> str | None:
        return missing(self.target, ("coremltools", "torch"))

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        """Traces, converts and saves; the same student gives the same bytes.

        Raises UsageError for a quantization record that does not fit the student, and PipelineError when
        coremltools did not keep a weight in int8.
        """
        with quiet():
            import coremltools as ct
            import torch

            module = _with_int8_marks(student)
            example = torch.zeros((1, student.max_length), dtype=torch.int32)
            shape = ct.Shape((1, ct.RangeDim(SHORTEST, student.max_length, default=student.max_length)))
            with torch.inference_mode():
                traced = torch.jit.trace(module, (example, example + 1), strict=False, check_trace=False)
            model = ct.convert(
                traced,
                convert_to="mlprogram",
                minimum_deployment_target=ct.target.iOS17,
                compute_precision=ct.precision.FLOAT16,
                inputs=[ct.TensorType(name, shape=shape, dtype=np.int32) for name in INPUTS],
                outputs=[ct.TensorType(name, dtype=np.float32) for name in student.outputs],
                skip_model_load=True,
            )
            specification = model.get_spec()
        _check_int8(specification, student)
        _describe(specification, student.metadata)
        package = out / f"{student.name}{self.suffix}"
        _save(specification, Path(model.weights_dir), package)
        return Lowered(
            target=self.target,
            path=package,
            size_bytes=sum(path.stat().st_size for path in package.rglob("*") if path.is_file()),
            tools=versions(self.packages),
        )

    def runner(self, program: Path, *, threads: int = 1) -> Runner:
        """Core ML itself on a Mac, where it chooses its own threads; the evaluation of every op elsewhere."""
        from exporters import mil

        specification = mil.read_specification(program)
        lengths = _lengths(specification)
        outputs = signature([feature.name for feature in specification.description.output])
        if sys.platform == "darwin" and importlib.util.find_spec("coremltools.libcoremlpython"):
            with quiet():
                import coremltools as ct

                model = ct.models.MLModel(str(program), compute_units=ct.ComputeUnit.ALL)
            return CoreMLRunner(
                lengths=lengths,
                outputs=outputs,
                emulated=False,
                note="Core ML on this Mac, all compute units allowed.",
                predict=model.predict,
            )
        return CoreMLRunner(
            lengths=lengths,
            outputs=outputs,
            emulated=True,
            note=(
                "Evaluated op by op outside Core ML: proves graph, weights, scales, shapes and the float16 "
                "rounding of each operation; not Apple's runtime, not Neural Engine placement, not latency."
            ),
            predict=_with_threads(mil.Program(program, specification), threads),
        )


EXPORTER: Exporter = CoreML()


@dataclass(slots=True, kw_only=True)
class CoreMLRunner:
    """A loaded package; `predict` is Core ML's or the evaluation's."""

    lengths: tuple[int, ...]
    outputs: tuple[str, ...]
    emulated: bool
    note: str
    predict: Predict

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        """int32 (1, seq) twice → the outputs that the package's description names."""
        window = padded(input_ids, attention_mask, self.lengths)
        results = self.predict(dict(zip(INPUTS, window, strict=True)))
        return tuple(cut(name, results[name], input_ids.shape[1]) for name in self.outputs)


def _with_int8_marks(student: Student) -> torch.nn.Module:
    """A copy of the module with the buffers by which coremltools learns that a weight is int8.

    https://apple.github.io/coremltools/docs-guides/source/opt-conversion.html: buffers named
    _COREML_/<parameter>/… on the parameter's module.
    """
    import torch

    module = copy.deepcopy(student.module).eval()
    module.register_buffer("_COREML_/metadata_version", torch.tensor(1))
    parameters = dict(module.named_parameters())
    for name, plan in student.quantization.tensors.items():
        if name not in parameters:
            raise UsageError(f"the quantization record names {name}, which the student does not have")
        if plan.dtype != "int8":
            continue
        if plan.axis != 0:
            raise UsageError(f"Core ML export takes scales along axis 0, but {name} has axis {plan.axis}")
        path, _, parameter = name.rpartition(".")
        owner = module.get_submodule(path)
        _, scale = int8_rows(parameters[name].float())
        for key, value in {
            "compression_type": torch.tensor([_QUANTIZED]),
            "quantization_n_bits": torch.tensor(8),
            "quantization_scale": scale,
        }.items():
            owner.register_buffer(f"_COREML_/{parameter}/{key}", value)
    return module


def _check_int8(specification: Any, student: Student) -> None:
    """coremltools only logs when it keeps a weight in float; PipelineError then."""
    function = specification.mlProgram.functions["main"]
    for operation in function.block_specializations[function.opset].operations:
        if operation.type != "const":
            continue
        for name, plan in student.quantization.tensors.items():
            flat = name.replace(".", "_")
            if plan.dtype == "int8" and operation.outputs[0].name in (flat, f"{flat}_to_fp16"):
                raise PipelineError(f"coremltools kept {name} in float although the record says int8")


def _describe(specification: Any, entries: Mapping[str, str]) -> None:
    """What Xcode and an app can read of the model; no date, so that bytes repeat."""
    description = specification.description
    described = description.metadata
    described.author = entries.get("author", "")
    described.license = entries.get("licence", entries.get("license", ""))
    described.shortDescription = entries.get("description", "")
    described.versionString = entries.get("version", "")
    described.userDefined.pop(DATE_KEY, None)
    for key, value in entries.items():
        described.userDefined[key] = str(value)
    for feature in (*description.input, *description.output):
        feature.shortDescription = _DESCRIPTIONS[feature.name]
    if [feature.name for feature in description.output] == list(PER_WINDOW):
        description.input[0].shortDescription = _TEXT_IDS


def _save(specification: Any, weights: Path, package: Path) -> None:
    """Writes the package's three files ourselves: coremltools' writer draws random identifiers."""
    from exporters.mil import DATA

    shutil.rmtree(package, ignore_errors=True)
    folder = package / DATA
    (folder / "weights").mkdir(parents=True)
    (folder / "model.mlmodel").write_bytes(specification.SerializeToString(deterministic=True))
    shutil.copyfile(weights / "weight.bin", folder / "weights" / "weight.bin")
    (package / "Manifest.json").write_text(json.dumps(_MANIFEST, indent=4, sort_keys=True), encoding="utf-8")


def _lengths(specification: Any) -> tuple[int, ...]:
    """Every sequence length that the first input takes, ascending."""
    array = specification.description.input[0].type.multiArrayType
    if array.enumeratedShapes.shapes:
        return tuple(sorted(int(shape.shape[-1]) for shape in array.enumeratedShapes.shapes))
    if array.shapeRange.sizeRanges:
        allowed = array.shapeRange.sizeRanges[-1]
        return tuple(range(max(1, allowed.lowerBound), allowed.upperBound + 1))
    return (int(array.shape[-1]),)


def _with_threads(program: Program, threads: int) -> Predict:
    """The program on that many threads of torch, whose setting is global and therefore put back."""
    import torch

    def predict(feeds: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return program(feeds)
        finally:
            torch.set_num_threads(before)

    return predict
