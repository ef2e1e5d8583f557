"""python -m device_bench.apple.coreml_runner: a Core ML bundle on this Mac, by the protocol of session.py.

--bundle stands in place of --program. --compiled is where the compiled model is, or is put: compiling is what
Xcode does when it builds an app, so it is no part of loading.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from device_bench.serving import Inference, serve
from device_bench.session import TAIL, Loaded
from exporters.base import INPUTS, cut, padded
from pipeline import bundles
from pipeline.types import UsageError

COMPUTE_UNITS = {"cpu-only": "CPU_ONLY", "cpu-and-ne": "CPU_AND_NE", "all": "ALL"}
"""As --units says it → a name of coremltools.ComputeUnit."""
OUTPUTS = ("start_logits", "end_logits", "logits")
"""In the order of --outputs."""


def main() -> int:
    """Serves one program until it is told to end, or its reader is gone. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m device_bench.apple.coreml_runner", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--compiled", type=Path, required=True, help="a .mlmodelc, made where it is not there")
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--units", choices=list(COMPUTE_UNITS), default="all")
    parser.add_argument("--outputs", type=Path)
    flags = parser.parse_args()
    return serve(lambda queries: _Program(flags, queries), flags.queries, flags.outputs)


def compiled(program: Path, place: Path) -> Path:
    """The .mlmodelc of a package at `place`, made where it is not there. Raises UsageError where that fails."""
    from coremltools.models.utils import compile_model

    if not place.exists():
        try:
            compile_model(str(program), str(place))
        except Exception as error:  # Its bindings raise RuntimeError, and Exception itself.
            raise UsageError(f"Core ML does not compile {program}: {_line(error)}") from None
    return place


def window(ids: np.ndarray, lengths: tuple[int, ...]) -> dict[str, np.ndarray]:
    """int32 (1, seq) → the program's inputs by name, padded to the next length that it takes."""
    return dict(zip(INPUTS, padded(ids, np.ones_like(ids), lengths), strict=True))


class _Program:
    """A bundle's package, compiled, as Core ML has it."""

    def __init__(self, flags: argparse.Namespace, queries: list[np.ndarray]) -> None:
        bundle = bundles.read(flags.bundle)
        self.queries, self.inputs = queries, [window(ids, bundle.lengths) for ids in queries]
        import coremltools

        place = compiled(bundle.program, flags.compiled)
        units = coremltools.ComputeUnit[COMPUTE_UNITS[flags.units]]
        began = time.perf_counter_ns()
        try:
            self.model: Any = coremltools.models.CompiledMLModel(str(place), compute_units=units)
        except Exception as error:  # As above.
            raise UsageError(f"Core ML does not load {bundle.program}: {_line(error)}") from None
        load_ns = time.perf_counter_ns() - began
        system = platform.mac_ver()[0] or platform.system()
        runtime = f"Core ML of macOS {system}, coremltools {coremltools.__version__}"
        self.loaded = Loaded(event="loaded", runtime=runtime, load_ns=load_ns, delegate="Core ML")

    def run(self, query: int) -> Inference:
        began = time.perf_counter_ns()
        results: Mapping[str, np.ndarray] = self.model.predict(self.inputs[query])
        took = time.perf_counter_ns() - began
        length = self.queries[query].shape[1]
        return Inference(
            ns=took,
            length=self.inputs[query][INPUTS[0]].shape[1],
            logits=[cut(name, results[name], length) for name in OUTPUTS if name in results],
        )

    def peak(self) -> int:
        """Coremltools and compiling, where it was needed, included."""
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:TAIL]


if __name__ == "__main__":
    sys.exit(main())
