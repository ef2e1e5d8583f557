"""devices: every kind of device, what of it is here, and what each missing one needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from device_bench.devices.base import KINDS, find
from device_bench.tables import table
from pipeline.types import PipelineError


def add(parser: argparse.ArgumentParser) -> None:
    """No flags beside the cache."""


def main(given: argparse.Namespace) -> None:
    """Prints a line for each device, or for a kind of which there is none."""
    screen = Console(highlight=False)
    made = table(None, "--device", "what it is", "here")
    for column in made.columns:
        column.justify, column.no_wrap = "left", False
    made.columns[0].no_wrap = True
    for kind, about in KINDS.items():
        try:
            lines = _lines(kind, given.cache) or [(kind, "none was found")]
        except PipelineError as error:
            lines = [(kind, str(error))]
        for number, (name, here) in enumerate(lines):
            made.add_row(name, "" if number else about, here)
    screen.print(made, markup=False)


def _lines(kind: str, cache: Path) -> list[tuple[str, str]]:
    """Each device's name and whether it is here, or what it needs; behind adb, everything that adb sees."""
    attached = _attached(cache) if kind == "adb" else []
    return attached or [(device.name, device.why_unavailable() or "yes") for device in find(kind, cache)]


def _attached(cache: Path) -> list[tuple[str, str]]:
    from device_bench.devices import adb

    seen = adb.serials(cache)
    return [(f"adb:{one.serial}", one.why_not or f"yes ({one.model or 'no model named'})") for one in seen]
