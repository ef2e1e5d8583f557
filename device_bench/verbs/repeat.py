"""repeat: measures the measuring: one request twice, and for instructions once more with all cores busy."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from rich.console import Console

from device_bench import flags, measurement, measuring, repeating
from device_bench.flags import Asked
from device_bench.measurement import Measurement
from device_bench.repeating import Repeated
from device_bench.tables import table
from pipeline.types import PipelineError, UsageError

FOLDER = "repeat"
"""Below that of measurements: these are not the ones that reports and claims take."""


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of run."""
    flags.add(parser)


def main(given: argparse.Namespace) -> None:
    """Measures, writes every measurement, prints what repeats. Exit code 1 where something does not."""
    screen = Console(highlight=False, soft_wrap=True)
    asked = flags.asked(given, screen)
    for one in asked:
        roles = {contender.role for contender in one.request.contenders}
        if one.request.metric == "latency" and "baseline" not in roles:
            raise UsageError("times alone do not repeat, ratios do; give a --baseline")
    failed = [one.device.name for one in asked if not _repeats(one, screen)]
    if failed:
        raise PipelineError(f"does not repeat on {', '.join(failed)}")


def _repeats(asked: Asked, screen: Console) -> bool:
    counting = asked.request.metric == "instructions"
    names = ("1", "2", "busy") if counting else ("1", "2")
    made: list[Measurement] = []
    for name in names:
        with repeating.all_cores_busy() if name == "busy" else nullcontext():
            made.append(measuring.measure(asked, screen))
        path = asked.path.parent / FOLDER / f"{asked.path.stem}-{name}.json"
        measurement.write(made[-1], path)
        screen.print(f"measurement  {path}")
        for reason in made[-1].validity.reasons:
            screen.print(f"not valid: {reason}", style="yellow", markup=False)
    found = repeating.counts(made) if counting else repeating.ratios(made)
    titles = ("first", "second", "all cores busy") if counting else ("first", "second")
    screen.print(f"\n{asked.request.contenders[0].bundle.name} on {asked.device.name}")
    _show(found, "instructions an inference" if counting else "times faster than", titles, screen)
    return all(one.holds for one in found)


def _show(found: tuple[Repeated, ...], what: str, titles: tuple[str, ...], screen: Console) -> None:
    made = table(None, what, *titles, "")
    for one in found:
        made.add_row(one.what, *one.seen, one.verdict, style=None if one.holds else "yellow")
    screen.print(made)
