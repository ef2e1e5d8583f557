"""Core ML: the student as an ML program for iOS 17, float16 arithmetic over int8 weights.

On a Mac the program runs in Core ML; elsewhere `exporters.mil` evaluates it, which is said in the runner.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters import coreml_calibration, coreml_package
from exporters.base import (
    INPUTS,
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
from pipeline.types import Activations, MissingTool, PipelineError, Student, UsageError

if TYPE_CHECKING:
    import torch

    from exporters.mil import Program

Predict = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Inputs by name → outputs by name."""
SHORTEST = 1
EVALUATED = (
    "Evaluated op by op outside Core ML, sums in float32, every result rounded to the type that the program "
    "declares: proves graph, weights, scales, shapes and the float16 rounding of each operation; not Apple's "
    "runtime, which may add up in float16 too, not Neural Engine placement, not latency."
)
"""What a run of the evaluation proves and what it does not."""
_QUANTIZED = 3  # coremltools' CompressionType.QUANTIZATION


class CoreML:
    """A .mlpackage: any length, for iOS 17 and macOS 14, or a few lengths, for iOS 18 and macOS 15."""

    target = "coreml"
    suffix = ".mlpackage"
    packages: tuple[str, ...] = ("coremltools", "numpy", "protobuf", "torch")
    activations: Activations = "float"

    def why_unavailable(self) -> str | None:
        return missing(self.target, ("coremltools", "torch"))

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        """Traces, converts and saves as `student.coreml` says; the same student gives the same bytes.

        Raises UsageError for a quantization record that does not fit the student, or a choice that it cannot
        have; PipelineError when coremltools did not keep a weight in int8.
        """
        int8 = student.coreml.activations == "int8"
        if int8 and not student.calibration:
            raise UsageError('export.coreml.activations = "int8" needs calibration windows, and there are none')
        package = out / f"{student.name}{self.suffix}"
        with quiet(), tempfile.TemporaryDirectory() as scratch:
            module = _with_int8_marks(student)
            model = _converted(module, student)
            if int8:
                whole = _saved(model, student, Path(scratch) / package.name)
                ranges = coreml_calibration.ranges(whole, student.calibration)
                model = _converted(module, student, coreml_calibration.pipeline(ranges))
        _saved(model, student, package)
        return Lowered(
            target=self.target,
            path=package,
            size_bytes=coreml_package.size_bytes(package),
            tools=versions(self.packages),
        )

    def runner(self, program: Path, *, threads: int = 1) -> Runner:
        """Core ML itself on a Mac, where it chooses its own threads; the evaluation of every op elsewhere."""
        if why_not_core_ml() is None:
            return on_this_mac(program)
        return evaluated(program, threads=threads)


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


def why_not_core_ml() -> str | None:
    """A sentence where this machine cannot run a package in Core ML itself, or None."""
    if sys.platform != "darwin":
        return "Core ML runs on a Mac only; copy the bundle to one and run this there"
    return missing("coreml", ("coremltools", "coremltools.libcoremlpython"))


def on_this_mac(program: Path, units: str = "ALL") -> CoreMLRunner:
    """A package in Core ML itself; `units` is a name of coremltools.ComputeUnit.

    Raises MissingTool where there is no Core ML.
    """
    from exporters import mil

    reason = why_not_core_ml()
    if reason:
        raise MissingTool(reason)

    specification = mil.read_specification(program)
    with quiet():
        import coremltools as ct

        model = ct.models.MLModel(str(program), compute_units=ct.ComputeUnit[units])
    return CoreMLRunner(
        lengths=coreml_package.lengths(specification),
        outputs=signature([feature.name for feature in specification.description.output]),
        emulated=False,
        note=f"Core ML on this Mac, compute units {units}.",
        predict=model.predict,
    )


def evaluated(program: Path, *, threads: int = 1) -> CoreMLRunner:
    """A package evaluated op by op from its own bytes, on any machine."""
    from exporters import mil

    specification = mil.read_specification(program)
    return CoreMLRunner(
        lengths=coreml_package.lengths(specification),
        outputs=signature([feature.name for feature in specification.description.output]),
        emulated=True,
        note=EVALUATED,
        predict=_with_threads(mil.Program(program, specification), threads),
    )


def _saved(model: Any, student: Student, package: Path) -> Path:
    """The conversion as a package, once its weights are found to be those of the record."""
    specification = model.get_spec()
    _check_int8(specification, student)
    choices = {"layout": student.coreml.layout, "activations": student.coreml.activations}
    coreml_package.describe(specification, {**student.metadata, **choices})
    coreml_package.save(specification, Path(model.weights_dir), package)
    return package


def _converted(module: torch.nn.Module, student: Student, passes: Any | None = None) -> Any:
    """What coremltools makes of the module, at the lengths that the student asks for."""
    import coremltools as ct
    import torch

    example = torch.zeros((1, student.max_length), dtype=torch.int32)
    lengths, target = student.lengths or (student.max_length,), ct.target.iOS17
    if student.coreml.lengths == "range":
        shape = ct.Shape((1, ct.RangeDim(SHORTEST, student.max_length, default=student.max_length)))
    elif len(lengths) == 1:
        shape = ct.Shape((1, *lengths))
    else:  # Several inputs with enumerated shapes came with iOS 18.
        target = ct.target.iOS18
        shape = ct.EnumeratedShapes([(1, length) for length in lengths], default=(1, lengths[-1]))
    with torch.inference_mode():
        traced = torch.jit.trace(module, (example, example + 1), strict=False, check_trace=False)
    return ct.convert(
        traced,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT16,
        inputs=[ct.TensorType(name, shape=shape, dtype=np.int32) for name in INPUTS],
        outputs=[ct.TensorType(name, dtype=np.float32) for name in student.outputs],
        pass_pipeline=passes,
        skip_model_load=True,
    )


def _with_int8_marks(student: Student) -> torch.nn.Module:
    """A copy of the module in its layout, with the buffers by which coremltools learns that a weight is int8.

    https://apple.github.io/coremltools/docs-guides/source/opt-conversion.html: buffers named
    _COREML_/<parameter>/… on the parameter's module.
    """
    import torch

    if student.coreml.layout == "ane":
        from exporters.coreml_ane import channels_first

        module = channels_first(student.module)
    else:
        module = copy.deepcopy(student.module).eval()
    module.register_buffer("_COREML_/metadata_version", torch.tensor(1))
    parameters = dict(student.module.named_parameters())
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
