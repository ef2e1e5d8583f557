"""devices: every kind of device, what of it is here, and what each missing one needs."""

from __future__ import annotations

import argparse

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
            lines = [
                (device.name, device.why_unavailable() or "yes") for device in find(kind, given.cache)
            ] or [(kind, "none was found")]
        except PipelineError as error:
            lines = [(kind, str(error))]
        for number, (name, here) in enumerate(lines):
            made.add_row(name, "" if number else about, here)
    screen.print(made, markup=False)
