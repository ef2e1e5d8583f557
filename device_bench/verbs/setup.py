"""python -m device_bench setup: what the emulator and the native runners need, into the cache folder, once."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from device_bench.toolchain import once
from device_bench.toolchain.steps import STEPS, Setup
from pipeline.console import bar, seconds, stopwatch


def add(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument(
        "--mirror", metavar="URL", help="a Debian archive (default: the one this system's apt uses)"
    )


def main(flags: argparse.Namespace) -> None:
    """Takes every step that was not taken yet. Raises MissingTool where one cannot be."""
    console = Console(highlight=False, soft_wrap=True)
    cache: Path = flags.cache.expanduser().resolve()
    with stopwatch() as total:
        for step in STEPS:
            with stopwatch() as spent, bar(console, step.name) as progress:
                made = step.make(Setup(cache=cache, mirror=flags.mirror, progress=progress))
                took = spent()
            size = sum(once.size_bytes(place) if place.is_dir() else place.stat().st_size for place in made)
            console.print(f"  {step.name:<34}{seconds(took):>9}{size / 1e6:>9.1f} MB")
        console.print(f"ready in {cache}, {seconds(total())}")
