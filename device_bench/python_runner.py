"""python -m device_bench.python_runner: a bundle in its runtime's Python package, as session.py has it told.

--bundle stands in place of --program; what is loaded is what every other verb here runs. Importing the package
is not loading the program, so it is done first; the interpreter counts in the peak memory, which a native
runner does not have.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from pydantic import BaseModel

from device_bench.session import Ended, Failed, Loaded, Ran
from exporters.base import Runner, pad
from pipeline import bundles
from pipeline.bundles import Bundle
from pipeline.types import MissingTool, PipelineError, UsageError

TASKS, STATUS, CLEAR = Path("/proc/self/task"), Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
"""Written to CLEAR, starts the peak anew (proc(5))."""
XNNPACK = "xnnpack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A Python package that runs programs of one target."""

    title: str
    distribution: str
    modules: tuple[str, ...]
    """To import before the program is loaded."""
    delegate: str
    """What its programs are meant to run on."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Top-level packages whose libraries it needs."""
        return tuple(dict.fromkeys(module.partition(".")[0] for module in self.modules))

    def version(self) -> str:
        """Title and version: LiteRT 2.3.0."""
        return f"{self.title} {importlib.metadata.version(self.distribution)}"


RUNTIMES: Mapping[str, Runtime] = {
    "tflite": Runtime(
        title="LiteRT",
        distribution="ai-edge-litert",
        modules=("ai_edge_litert.compiled_model", "ai_edge_litert.environment"),
        delegate=XNNPACK,
    ),
    "executorch": Runtime(
        title="ExecuTorch",
        distribution="executorch",
        modules=("torch", "executorch.extension.pybindings.portable_lib", "executorch.runtime"),
        delegate=XNNPACK,
    ),
    "onnx": Runtime(
        title="ONNX Runtime",
        distribution="onnxruntime",
        modules=("onnxruntime",),
        delegate="cpu",
    ),
}
"""By target. What is not here is evaluated op by op on this machine, or not at all: no figure to take."""


def runtime_of(target: str) -> Runtime:
    """Raises UsageError for a target whose programs this machine cannot run as a phone would."""
    if target not in RUNTIMES:
        raise UsageError(
            f"programs for {target} do not run in a runtime of theirs on this machine, so nothing is measured; "
            f"the host measures {', '.join(RUNTIMES)}"
        )
    return RUNTIMES[target]


def main() -> int:
    """Serves one program until it is told to end, or its reader is gone. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m device_bench.python_runner", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--outputs", type=Path)
    flags = parser.parse_args()
    channel = _own_stdout()
    try:
        _serve(flags, channel)
    except PipelineError as error:
        _say(channel, Failed(event="failed", why=str(error)))
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    return 0


def _own_stdout() -> TextIO:
    """Stdout for events alone: whatever a library prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _say(channel: TextIO, event: BaseModel) -> None:
    channel.write(event.model_dump_json() + "\n")
    channel.flush()


def _serve(flags: argparse.Namespace, channel: TextIO) -> None:
    bundle = bundles.read(flags.bundle)
    queries = [np.array([line.split()], np.int32) for line in flags.queries.read_text("ascii").splitlines()]
    runtime = runtime_of(bundle.target)
    _import(runtime)
    _forget_peak()
    threads_before, began = _threads(), time.perf_counter_ns()
    program = bundle.runner(flags.threads)
    load_ns = time.perf_counter_ns() - began
    if program.emulated:
        raise UsageError(f"{bundle.target} is evaluated op by op here; its times mean nothing")
    _say(
        channel,
        Loaded(
            event="loaded",
            runtime=runtime.version(),
            load_ns=load_ns,
            threads=_threads_got(bundle, threads_before),
            delegate=_delegate_got(bundle),
        ),
    )
    # A pause of Python's collector would be charged to whichever inference it hits.
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        if line.split() == ["end"]:
            _say(channel, Ended(event="ended", peak_resident_bytes=_peak()))
            return
        _say(channel, _run(program, queries, line, flags.outputs))


def _run(program: Runner, queries: list[np.ndarray], line: str, outputs: Path | None) -> Ran:
    word, _, number = line.strip().partition(" ")
    if word != "run" or not number.isdecimal() or int(number) >= len(queries):
        raise UsageError(f"told {line.strip()!r}; it takes run 0 to run {len(queries) - 1}, and end")
    ids = queries[int(number)]
    mask = np.ones_like(ids)
    began = time.perf_counter_ns()
    logits = program(ids, mask)
    took = time.perf_counter_ns() - began
    if outputs:
        with outputs.open("ab") as file:
            file.writelines(output.astype("<f4").tobytes() for output in logits)
    return Ran(event="ran", query=int(number), ns=took, length=pad(ids, program.lengths))


def _import(runtime: Runtime) -> None:
    for module in runtime.modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise MissingTool(
                f"{runtime.title} cannot be imported ({error}); install the package {runtime.distribution}"
            ) from None


def _threads() -> int | None:
    """Threads of this process; None where the system does not tell."""
    return len(list(TASKS.iterdir())) if TASKS.is_dir() else None


def _threads_got(bundle: Bundle, before: int | None) -> int | None:
    """ExecuTorch says how large its pool is; the others only show in the threads that loading started.

    The calling thread works as well.
    """
    if bundle.target == "executorch":
        from executorch.extension.pybindings import portable_lib

        return int(portable_lib._threadpool_get_thread_count())
    after = _threads()
    return None if before is None or after is None else after - before + 1


def _delegate_got(bundle: Bundle) -> str | None:
    """ExecuTorch loads a program only with every delegate that it names; LiteRT does not tell.

    ONNX Runtime is given its CPU provider alone, which takes every operation.
    """
    if bundle.target == "executorch":
        return XNNPACK if b"XnnpackBackend" in bundle.program.read_bytes() else "none"
    return "cpu" if bundle.target == "onnx" else None


def _forget_peak() -> None:
    """Reading the bundle and importing the package shall not count, as far as they are over."""
    gc.collect()
    try:
        CLEAR.write_text(FORGET_PEAK)
    except OSError:
        return


def _peak() -> int | None:
    """Bytes, the highest resident memory since `_forget_peak`, interpreter and imports included."""
    try:
        status = STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    found = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return found[0] * 1024 if found else None


if __name__ == "__main__":
    sys.exit(main())
