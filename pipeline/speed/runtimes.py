"""Programs loaded as the runtimes' documentation shows it: a default's by its runtime, ours by our runner.

A default takes windows of one length only, so shorter ones are padded here, inside the timed call, as an app
would have to. ONNX Runtime takes any length.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import exporters.base as exporters
from exporters.base import INPUTS, PER_TOKEN, padded, quiet
from pipeline.types import MissingTool

Call = Callable[[np.ndarray, np.ndarray], object]
"""input_ids, attention_mask: int32 (1, seq) → logits, which nobody reads here."""

IMPORTS: Mapping[str, tuple[str, ...]] = {
    "tflite": ("ai_edge_litert.interpreter",),
    "executorch": ("torch", "executorch.runtime", "executorch.extension.pybindings.portable_lib"),
    "onnxruntime": ("onnxruntime",),
}
"""What running a program takes in Python."""
MAKES: Mapping[str, tuple[str, ...]] = {"onnxruntime": ("onnx", "onnxruntime", "onnxscript")}
"""What the flow of a runtime that no exporter covers takes."""
RUNTIMES = tuple(IMPORTS)
TARGETS = ("tflite", "executorch")
"""Those that goals are about, each against its own default; the other is a peer to both."""


def check(runtime: str) -> None:
    """Raises MissingTool where a runtime, or what makes its programs, is not installed."""
    if runtime in TARGETS:
        exporters.get(runtime)
        return
    for module in MAKES[runtime]:
        if importlib.util.find_spec(module) is None:
            raise MissingTool(
                f"{runtime} needs the package {module}, which is not installed; "
                "run: pip install -c constraints.txt -e '.[onnx]', or leave it out with --targets"
            )


def imported(runtime: str) -> None:
    """Imports the runtime and our exporter for it: no loading time, nor a program's memory, includes that."""
    with quiet():
        for module in IMPORTS[runtime]:
            importlib.import_module(module)
        if runtime in TARGETS:
            exporters.get(runtime)


def load_ours(runtime: str, program: Path, threads: int) -> tuple[Call, tuple[int, ...]]:
    """Our program with our runner, and the lengths that it runs at."""
    runner = exporters.get(runtime).runner(program, threads=threads)
    return runner, runner.lengths


def load_default(runtime: str, program: Path, length: int, threads: int) -> Call:
    """A default program; all but ONNX Runtime's are padded to `length`."""
    with quiet():
        call = _LOADERS[runtime](program, threads)
    if runtime == "onnxruntime":
        return lambda ids, mask: call(ids, mask)
    return lambda ids, mask: call(*padded(ids, mask, (length,)))


def load_linear(runtime: str, program: Path, threads: int) -> Callable[[np.ndarray], object]:
    """The program of one linear: float32 (rows, inputs) → float32 (rows, outputs)."""
    with quiet():
        return _LOADERS[runtime](program, threads)


def _tflite(program: Path, threads: int) -> Callable[..., object]:
    """One signature, whose inputs are called args_0, args_1 … in the order of the sample inputs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(program), num_threads=threads)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner()
    names = sorted(run.get_input_details())
    # The runner refers to its interpreter weakly, so that somebody else has to keep it.
    return lambda *arrays, kept=interpreter: run(**dict(zip(names, arrays, strict=True)))


def _executorch(program: Path, threads: int) -> Callable[..., object]:
    import torch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    portable_lib._unsafe_reset_threadpool(threads)
    loaded = Runtime.get().load_program(program)
    method = loaded.load_method("forward")
    return lambda *arrays, kept=loaded: method.execute([torch.from_numpy(array) for array in arrays])


def _onnxruntime(program: Path, threads: int) -> Callable[..., object]:
    """Its threads wait for the next call by spinning, which would be charged to whoever runs meanwhile."""
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(str(program), options, providers=["CPUExecutionProvider"])
    return lambda *arrays: session.run(list(PER_TOKEN), dict(zip(INPUTS, arrays, strict=True)))


_LOADERS: Mapping[str, Callable[[Path, int], Callable[..., object]]] = {
    "tflite": _tflite,
    "executorch": _executorch,
    "onnxruntime": _onnxruntime,
}
