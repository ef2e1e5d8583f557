"""python -m device_bench.apple.coreml_runner: a Core ML bundle on this Mac, by the protocol of session.py.

--bundle stands in place of --program. --compiled is where the compiled model is, or is put: compiling is what
Xcode does when it builds an app, so it is no part of loading.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pydantic import BaseModel

from device_bench.session import TAIL, Ended, Failed, Loaded, Ran
from exporters.base import INPUTS, cut, padded
from pipeline import bundles
from pipeline.types import PipelineError, UsageError

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
    # Whatever a library prints goes to stderr: stdout is for events alone.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        _serve(flags, channel)
    except PipelineError as error:
        _say(channel, Failed(event="failed", why=str(error)))
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    return 0


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


def _serve(flags: argparse.Namespace, channel: TextIO) -> None:
    bundle = bundles.read(flags.bundle)
    queries = [np.array([line.split()], np.int32) for line in flags.queries.read_text("ascii").splitlines()]
    inputs = [window(ids, bundle.lengths) for ids in queries]
    import coremltools

    place = compiled(bundle.program, flags.compiled)
    units = coremltools.ComputeUnit[COMPUTE_UNITS[flags.units]]
    began = time.perf_counter_ns()
    try:
        model = coremltools.models.CompiledMLModel(str(place), compute_units=units)
    except Exception as error:  # As above.
        raise UsageError(f"Core ML does not load {bundle.program}: {_line(error)}") from None
    load_ns = time.perf_counter_ns() - began
    system = platform.mac_ver()[0] or platform.system()
    runtime = f"Core ML of macOS {system}, coremltools {coremltools.__version__}"
    _say(channel, Loaded(event="loaded", runtime=runtime, load_ns=load_ns, delegate="Core ML"))
    # A pause of Python's collector would be charged to whichever inference it hits.
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        if line.split() == ["end"]:
            _say(channel, Ended(event="ended", peak_resident_bytes=_peak()))
            return
        word, _, number = line.strip().partition(" ")
        if word != "run" or not number.isdecimal() or int(number) >= len(queries):
            raise UsageError(f"told {line.strip()!r}; it takes run 0 to run {len(queries) - 1}, and end")
        _say(channel, _run(model, queries, inputs, int(number), flags.outputs))


def _run(
    model: Any, queries: list[np.ndarray], inputs: list[dict[str, np.ndarray]], number: int, out: Path | None
) -> Ran:
    began = time.perf_counter_ns()
    results: Mapping[str, np.ndarray] = model.predict(inputs[number])
    took = time.perf_counter_ns() - began
    if out:
        length = queries[number].shape[1]
        logits = [cut(name, results[name], length) for name in OUTPUTS if name in results]
        with out.open("ab") as file:
            file.writelines(output.astype("<f4").tobytes() for output in logits)
    return Ran(event="ran", query=number, ns=took, length=inputs[number][INPUTS[0]].shape[1])


def _say(channel: TextIO, event: BaseModel) -> None:
    channel.write(event.model_dump_json() + "\n")
    channel.flush()


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:TAIL]


def _peak() -> int:
    """Bytes; coremltools and compiling, where it was needed, included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
