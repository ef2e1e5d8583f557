"""Devices measured one after the other: each result written when it is there, failures kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

from device_bench import measurement, tables
from device_bench.flags import Asked
from device_bench.measurement import Measurement
from pipeline import console
from pipeline.types import MissingTool, PipelineError


def measure(asked: Asked, screen: Console) -> Measurement:
    """One device's measurement, not yet written. Raises PipelineError in a sentence that names the device."""
    if why_not := asked.device.why_unavailable():
        raise MissingTool(f"{asked.device.name}: {why_not}")
    with console.bar(screen, asked.device.name) as bar:
        return asked.device.measure(asked.request, bar)


def measure_all(asked: Sequence[Asked], screen: Console, errors: TextIO) -> tuple[Measurement, ...]:
    """Every device's measurement, written to its path and printed.

    With one device its failure is raised; with several, each is a line on `errors`, and what is raised in the
    end has the first one's exit code.
    """
    done: list[Measurement] = []
    failed: list[PipelineError] = []
    for one in asked:
        try:
            made = measure(one, screen)
        except PipelineError as error:
            if len(asked) == 1:
                raise
            print(f"error: {error}", file=errors, flush=True)
            failed.append(error)
            continue
        measurement.write(made, one.path)
        tables.show(made, screen)
        screen.print(f"measurement  {one.path}\n")
        done.append(made)
    if failed:
        whole = PipelineError(f"{len(failed)} of {len(asked)} devices were not measured")
        whole.exit_code = failed[0].exit_code
        raise whole
    return tuple(done)
