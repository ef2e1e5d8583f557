"""compare: holds a measurement, or each of a folder's, against an earlier one; exit 1 where it got worse."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from device_bench import measurement, regression
from device_bench.regression import Comparison, Limits, Line
from device_bench.screen import console_for_tables
from pipeline.types import PipelineError, UsageError

REGRESSION, MEMORY = "0.5%", "5%"


class GotWorse(PipelineError):
    """A candidate got worse by more than it may."""

    exit_code = 1


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("base", type=Path, help="measurement.json of before, or a folder of such files")
    parser.add_argument("new", type=Path, help="that of now, or a folder with files of the same names")
    parser.add_argument(
        "--max-regression",
        type=share,
        default=REGRESSION,
        metavar="SHARE",
        help=f"of instructions, latency and program bytes: 0.5%% or 0.005 (default: {REGRESSION}%)",
    )
    parser.add_argument(
        "--max-memory",
        type=share,
        default=MEMORY,
        metavar="SHARE",
        help=f"of peak resident memory (default: {MEMORY}%)",
    )
    parser.add_argument(
        "--exact",
        action=argparse.BooleanOptionalAction,
        help="counts have to be equal (default: where program, runtime and emulator are the same)",
    )


def main(given: argparse.Namespace) -> None:
    """Prints a table for each pair. Raises GotWorse after all of them."""
    limits = Limits(regression=given.max_regression, memory=given.max_memory)
    compared = []
    for name, base, new in pairs(given.base, given.new):
        try:
            made = regression.compare(measurement.read(base), measurement.read(new), limits, given.exact)
        except UsageError as error:
            raise UsageError(f"{name}: {error}" if given.base.is_dir() else str(error)) from None
        compared.append((name, made))
    screen = console_for_tables()
    for _, made in compared:
        screen.print(table(made))
        for rule in made.rules:
            screen.print(f"  {rule}", style="dim", markup=False)
    worse = [f"{name}: {sentence(made.failed)}" for name, made in compared if made.failed]
    if worse:
        raise GotWorse("; ".join(worse))


def share(text: str) -> float:
    """0.5% and 0.005 → 0.005; for argparse."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(%?)", text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share below 1; write 0.5% or 0.005")
    return value


def pairs(base: Path, new: Path) -> list[tuple[str, Path, Path]]:
    """Name, base file, new file. Raises UsageError for a file without its counterpart, or none at all."""
    for path in (base, new):
        if not path.exists():
            raise UsageError(f"{path} does not exist; give a measurement.json or a folder of such files")
    if base.is_dir() != new.is_dir():
        raise UsageError(f"{base} and {new} are a folder and a file; give two of a kind")
    if not base.is_dir():
        return [(new.name, base, new)]
    names = [{path.name for path in folder.glob("*.json")} for folder in (base, new)]
    for name in sorted(names[0] ^ names[1]):
        has, lacks = (base, new) if name in names[0] else (new, base)
        raise UsageError(f"{has / name} has no counterpart in {lacks}")
    if not names[0]:
        raise UsageError(f"{base} holds no measurement (*.json)")
    return [(name, base / name, new / name) for name in sorted(names[0])]


def table(made: Comparison) -> Table:
    """A line for each figure; what is not judged has no limit."""
    drawn = Table(title=made.title, title_justify="left", pad_edge=False)
    drawn.add_column("", no_wrap=True)
    for heading in ("base", "new", "change", "limit", ""):
        drawn.add_column(heading, justify="right")
    for line in made.lines:
        verdict = "" if line.limit is None else "WORSE" if line.failed else "ok"
        drawn.add_row(line.name, line.base, line.new, change(line), limit(line), verdict)
    return drawn


def change(line: Line) -> str:
    """+2.00 %, with the ends of its interval where it has one; a minus is for the better."""
    if line.change is None:
        return ""
    text = f"{line.change * 100:+.2f} %"
    if line.ends:
        text += f" ({line.ends[0] * 100:+.2f} to {line.ends[1] * 100:+.2f})"
    return text.replace("-", "−")


def limit(line: Line) -> str:
    """equal, +0.5 %, or nothing."""
    if line.limit is None:
        return ""
    return "equal" if line.exact else f"+{regression.percent(line.limit)}"


def sentence(failed: Sequence[Line]) -> str:
    """What failed, the first line of it in full."""
    first = failed[0]
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    if first.exact:
        return f"{first.name.strip()} are not equal ({first.base}, then {first.new}){more}"
    return f"{first.name.strip()} got worse by {change(first)}, above {limit(first)}{more}"
