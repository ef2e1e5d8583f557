"""python -m exporters.lint: what a phone would choke on, found in a program before it ships."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from exporters import base
from exporters.base import SIGNATURES, Runner
from exporters.linting.checks import RULES
from exporters.linting.inspection import inspect
from pipeline.types import Inspection, PipelineError, UsageError

FAILED = 4
"""Exit code where a finding is an error, the same as a failed verification's."""
WINDOWS = 4
"""Golden windows that the program is run on."""
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
WHERE_WIDTH = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the argument names: a program, and for a bundle its recorded windows."""

    program: Path
    target: str | None = None
    windows: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    reference: tuple[tuple[np.ndarray, ...], ...] = ()

    def runner(self) -> Runner | None:
        """The program, loaded with what this machine has, or None."""
        if self.target is None or not self.windows:
            return None
        try:
            exporter = base.get(self.target)
            return None if exporter.why_not_run() else exporter.runner(self.program)
        except PipelineError:
            return None


def main() -> int:
    """Parses the flags, prints the findings; the exit code says whether one is an error."""
    parser = argparse.ArgumentParser(
        prog="python -m exporters.lint",
        description="Finds in a program what a phone would choke on.",
        epilog="exit codes: 0 no errors; 2 the artifact cannot be read; 3 a missing tool; 4 errors were found",
    )
    parser.add_argument("artifact", type=Path, nargs="?", help=".mlpackage, .pte, .tflite, .onnx or a bundle")
    parser.add_argument(
        "--precision", choices=("int8", "float32"), help="what the recipe says (default: as named)"
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="RULE", choices=list(RULES))
    parser.add_argument("--json", action="store_true", help="write the findings as JSON")
    parser.add_argument("--rules", action="store_true", help="list the rules and stop")
    given = parser.parse_args()
    if given.rules:
        for rule in RULES.values():
            print(
                f"{rule.name:22}{', '.join(rule.formats)}\n    finds {rule.looks_for}\n    do    {rule.advice}"
            )
        return 0
    if given.artifact is None:
        parser.error("name an artifact, or ask for --rules")
    try:
        subject = opened(given.artifact)
        found = inspect(
            subject.program,
            precision=given.precision or precision_of(subject.program),
            windows=subject.windows,
            reference=subject.reference,
            runner=subject.runner(),
            ignored=given.ignore,
        )
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if given.json:
        print(json.dumps({"program": subject.program.name, **dataclasses.asdict(found)}, indent=1))
    else:
        show(found, subject.program)
    return FAILED if found.count("error") else 0


def opened(artifact: Path) -> Subject:
    """A program as it is; of a bundle folder its program and golden windows. Raises UsageError."""
    manifest = artifact / "manifest.json"
    if not manifest.is_file():
        return Subject(program=artifact)
    try:
        described = json.loads(manifest.read_text(encoding="utf-8"))
        program, target = artifact / Path(described["program"]).name, str(described["target"])
        recorded = json.loads((artifact / "golden.json").read_text(encoding="utf-8"))
        windows = [window for case in recorded["cases"] for window in case["windows"]][:WINDOWS]
        names = next(names for names in SIGNATURES if all(name in windows[0] for name in names))
        return Subject(
            program=program,
            target=target,
            windows=tuple((_row(each["input_ids"]), np.ones_like(_row(each["input_ids"]))) for each in windows),
            reference=tuple(tuple(_logits(each[name]) for name in names) for each in windows),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, StopIteration):
        raise UsageError(f"bundle {artifact} is damaged: its manifest or golden cases cannot be read") from None


def precision_of(program: Path) -> str:
    """What a program's name says: {model}_{task}_seq{N}_{precision}_{backend}; else int8."""
    said = re.search(r"_(int8|float32)_", program.name)
    return said.group(1) if said else "int8"


def show(found: Inspection, program: Path) -> None:
    """A line for each finding, and a summary."""
    screen = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, show_header=bool(found.findings), pad_edge=False)
    for column in ("severity", "rule", "where", "what to do"):
        table.add_column(column, overflow="fold", no_wrap=column in ("severity", "rule"))
    for finding in found.findings:
        where = finding.where if len(finding.where) <= WHERE_WIDTH else f"…{finding.where[1 - WHERE_WIDTH :]}"
        colour = COLOURS[finding.severity]
        table.add_row(
            *(_plain(text) for text in (finding.severity, finding.rule, where, finding.sentence)), style=colour
        )
    screen.print(table)
    for rule, reason in found.skipped.items():
        screen.print(f"not checked: {rule}, {reason}", markup=False)
    counts = ", ".join(f"{found.count(severity)} {severity}s" for severity in COLOURS)
    screen.print(f"{program.name}: {counts}", markup=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _row(values: list[int]) -> np.ndarray:
    return np.asarray(values, np.int32)[None]


def _logits(values: list[float]) -> np.ndarray:
    return np.asarray(values, np.float32)[None]


if __name__ == "__main__":
    sys.exit(main())
