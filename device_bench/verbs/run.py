"""run: measures a bundle beside its baseline on one device or several, a measurement.json each."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from device_bench import flags, measuring


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    flags.add(parser)


def main(given: argparse.Namespace) -> None:
    """Measures, writes and prints. A device that fails is a sentence; the others' measurements are kept."""
    screen = Console(highlight=False, soft_wrap=True)
    measuring.measure_all(flags.asked(given, screen), screen, sys.stderr)
