"""ExecuTorch with the Core ML delegate: one .pte whose whole graph is a Core ML package, int8 weights, float16.

It is lowered ahead of time on any machine and runs in ExecuTorch on Apple's devices. Here the package is taken
out of the program and evaluated op by op, fed as the program's one instruction feeds it.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.base import (
    INPUTS,
    SIGNATURES,
    Exporter,
    Lowered,
    cut,
    int8_rows,
    int8_weights,
    missing,
    padded,
    quiet,
    traced_longest,
    versions,
)
from exporters.int8_modules import ROLES, with_int8_layers
from pipeline.types import Activations, PipelineError, Student, UsageError

if TYPE_CHECKING:
    import torch

    from exporters.mil import Program

MODULES = ("executorch", "coremltools", "torchao", "torch")
SHORTEST = 2
"""torch.export makes a dimension of 1 a constant, so that a program takes at least two tokens."""
DELEGATE = "CoreMLBackend"
PACKAGE, METADATA = Path("lowered_module/model.mlpackage"), Path("lowered_module/metadata.json")
"""Where the delegate's payload keeps the package, and the order of its inputs and outputs."""
PROFILING = (Path("lowered_module/debug_info.json"), PACKAGE / "executorch_debug_handle_mapping.json")


class ExecutorchCoreML:
    """Any length: int32 (1, seq) twice → the student's outputs, seq from SHORTEST to max_length; iOS 17."""

    target = "executorch-coreml"
    suffix = ".pte"
    packages: tuple[str, ...] = ("torch", "executorch", "torchao", "coremltools", "numpy", "protobuf")
    activations: Activations = "float"
    """What becomes of the input of a linear with dynamic int8 activations."""

    def why_unavailable(self) -> str | None:
        return missing(self.target, MODULES)

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        """Lowers and writes the program; the same student gives the same bytes.

        Raises UsageError for a record that does not fit the student, and PipelineError when a part of the
        graph stays outside the delegate or a weight is not in int8 as the record says.
        """
        module, path = _quantized(student), out / f"{student.name}{self.suffix}"
        with quiet():
            program = _program(module, student)
        _check_weights(Payload(program).evaluator(), student)
        path.write_bytes(program)
        return Lowered(
            target=self.target, path=path, size_bytes=path.stat().st_size, tools=versions(self.packages)
        )

    def runner(self, program: Path, *, threads: int = 1) -> ExecutorchCoreMLRunner:
        return ExecutorchCoreMLRunner(program, threads)


EXPORTER: Exporter = ExecutorchCoreML()


class ExecutorchCoreMLRunner:
    """The delegate's package, evaluated on `threads` threads."""

    emulated = True
    note = (
        "The delegate's Core ML package evaluated op by op: proves graph, weights, scales, shapes, the order "
        "of inputs and outputs and float16 rounding; not Apple's or ExecuTorch's runtime, not latency."
    )

    def __init__(self, program: Path, threads: int) -> None:
        payload = Payload(program.read_bytes())
        self._names, self._feeds, self._gives = payload.names, payload.feeds, payload.gives
        self._evaluate = payload.evaluator()
        self._threads = threads
        self.lengths = tuple(range(SHORTEST, max(payload.longest, SHORTEST) + 1))

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        import torch

        window = padded(input_ids, attention_mask, self.lengths)
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            results = self._evaluate(dict(zip(self._feeds, window, strict=True)))
        finally:
            torch.set_num_threads(before)
        pairs = zip(self._names, self._gives, strict=True)
        return tuple(cut(name, results[given], input_ids.shape[1]) for name, given in pairs)


class Payload:
    """What a program holds: one call of the delegate, and the package that it calls.

    `feeds` and `gives` are the package's names of the program's inputs and outputs, in the program's order.
    """

    def __init__(self, program: bytes) -> None:
        """Raises UsageError for a program of another kind."""
        with quiet():
            from executorch.exir._serialize._program import deserialize_pte_binary

            whole = deserialize_pte_binary(program).program
        plan, *others = whole.execution_plan
        calls = [step.instr_args for chain in plan.chains for step in chain.instructions]
        delegates = [delegate.id for delegate in plan.delegates]
        if others or delegates != [DELEGATE] or len(calls) != 1 or not hasattr(calls[0], "delegate_index"):
            raise UsageError(f"the program is not one call of {DELEGATE}: its delegates are {delegates}")
        self._bytes = bytes(whole.backend_delegate_data[plan.delegates[0].processed.index].data)
        with TemporaryDirectory() as folder:
            _unpack(self._bytes, Path(folder))
            order = json.loads((Path(folder) / METADATA).read_text(encoding="utf-8"))
        named = dict(zip(calls[0].args, [*order["inputNames"], *order["outputNames"]], strict=True))
        self.feeds = tuple(named[value] for value in plan.inputs)
        self.gives = tuple(named[value] for value in plan.outputs)
        if self.feeds != INPUTS:
            raise UsageError(f"the program takes {', '.join(self.feeds)}, not {', '.join(INPUTS)}")
        (self.names,) = (names for names in SIGNATURES if len(names) == len(self.gives))  # it has no names
        self.longest = int(plan.values[plan.inputs[0]].val.sizes[1])

    def evaluator(self) -> Program:
        """The package, ready to be evaluated."""
        from exporters import mil

        with TemporaryDirectory() as folder:
            _unpack(self._bytes, Path(folder))
            return mil.Program(Path(folder) / PACKAGE)


def _quantized(student: Student) -> torch.nn.Module:
    """A copy of the student whose int8 weights are integers and scales, which coremltools keeps as they are."""
    import torch
    from torchao.quantization.quant_primitives import dequantize_affine

    def dense(rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = dequantize_affine(rows, (1, rows.shape[1]), scale, None, torch.int8, -128, 127)
        return made

    return with_int8_layers(student, dense)


def _program(module: torch.nn.Module, student: Student) -> bytes:
    """The program, all of it in the delegate."""
    import coremltools as ct
    import torch
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    longest = traced_longest(student.max_length)
    length = torch.export.Dim("length", min=SHORTEST, max=longest)
    window = torch.zeros(1, longest, dtype=torch.int32)
    exported = torch.export.export(
        module, (window, torch.ones_like(window)), dynamic_shapes=({1: length}, {1: length})
    )
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=ct.target.iOS17, compute_precision=ct.precision.FLOAT16
    )
    partitioner = CoreMLPartitioner(compile_specs=specs, lower_full_graph=True)
    edge = to_edge_transform_and_lower(exported, partitioner=[partitioner])
    (delegate,) = edge.exported_program().graph_module.children()
    delegate._processed_bytes = _settled(delegate.processed_bytes, student.metadata)
    program = edge.to_executorch(ExecutorchBackendConfig(extract_delegate_segments=True))
    return bytes(program.buffer)


def _settled(payload: bytes, metadata: Mapping[str, str]) -> bytes:
    """The payload with our metadata, and with names of its contents where random ones and a date were.

    A device keeps compiled models by the payload's identifier: it has to differ where the contents do. What
    only a profiler reads is left out.
    """
    from executorch.backends.apple.coreml import executorchcoreml

    from exporters import mil

    with TemporaryDirectory() as folder:
        root = Path(folder)
        _unpack(payload, root)
        for name in PROFILING:
            (root / name).unlink(missing_ok=True)
        specification = mil.read_specification(root / PACKAGE)
        described = specification.description.metadata
        described.userDefined.clear()
        described.author = metadata.get("author", "")
        described.license = metadata.get("licence", "")
        described.shortDescription = metadata.get("description", "")
        for key, value in metadata.items():
            described.userDefined[key] = str(value)
        model = root / PACKAGE / mil.DATA / "model.mlmodel"
        model.write_bytes(specification.SerializeToString(deterministic=True))

        manifest = root / PACKAGE / "Manifest.json"
        text = manifest.read_text(encoding="utf-8")
        for drawn, entry in json.loads(text)["itemInfoEntries"].items():
            text = text.replace(drawn, str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])).upper())
        manifest.write_text(json.dumps(json.loads(text), indent=4, sort_keys=True), encoding="utf-8")

        contents = hashlib.sha256(model.read_bytes())
        contents.update((root / PACKAGE / mil.DATA / "weights" / "weight.bin").read_bytes())
        order = json.loads((root / METADATA).read_text(encoding="utf-8"))
        order["identifier"] = f"executorch_{contents.hexdigest()[:32]}"
        (root / METADATA).write_text(json.dumps(order, sort_keys=True), encoding="utf-8")
        flat: bytes | None = executorchcoreml.flatten_directory_contents(str(root / METADATA.parent))
    assert flat is not None
    return flat


def _unpack(payload: bytes, folder: Path) -> None:
    from executorch.backends.apple.coreml import executorchcoreml

    if not executorchcoreml.unflatten_directory_contents(payload, str(folder.resolve())):
        raise UsageError("the delegate's payload is damaged; export the program again")


def _check_weights(program: Program, student: Student) -> None:
    """PipelineError for the first weight whose integers are not in the package as the record has them."""
    stored = [_integers(entry.inputs) for entry in program.compressed.values()]
    for role in ROLES:
        for path, weight in int8_weights(student, role).items():
            wanted = int8_rows(weight)[0].numpy()
            if not any(np.array_equal(wanted, found) for found in stored):
                raise PipelineError(f"coremltools did not keep {path}.weight in int8 as the record says")


def _integers(inputs: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(inputs["quantized_data"])
