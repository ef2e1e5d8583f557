"""python -m exporters.coreml_check BUNDLE: on a Mac, a bundle's golden cases in Core ML itself, unit by unit.

What the evaluation elsewhere cannot show: whether Apple's runtime gives the logits that were recorded when the
bundle was made, on the CPU alone, with the Neural Engine, and with all units allowed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters import coreml
from exporters.base import Runner
from pipeline.types import PipelineError, UsageError, VerificationFailed

UNITS = ("CPU_ONLY", "CPU_AND_NE", "ALL")
"""Of coremltools.ComputeUnit."""
Open = Callable[[Path, str], Runner]


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A bundle's golden cases."""

    cases: int
    windows: Sequence[dict[str, Any]]
    """Of all cases: input_ids, and logits by output name."""
    min_sqnr_db: float
    """What logits have to keep wherever they are asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One compute unit's logits over all golden windows against two references."""

    units: str
    windows: int
    recorded_sqnr_db: float
    recorded_max_error: float
    evaluated_sqnr_db: float
    evaluated_max_error: float


def main(arguments: Sequence[str] | None = None, open_program: Open = coreml.on_this_mac) -> int:
    """Parses the flags, compares, prints the table. The process's exit code: 0, or that of what was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m exporters.coreml_check",
        description="Asks a bundle's golden cases in Core ML on this Mac and compares the logits.",
        epilog="Exit codes: 0 the same, 2 not usable, 3 no Mac, 4 logits differ.",
    )
    parser.add_argument("bundle", type=Path, help="a folder with one .mlpackage and golden.json")
    given = parser.parse_args(arguments)
    try:
        package, golden = read(given.bundle)
        rows = [compare(package, golden, units, open_program) for units in UNITS]
        print(table(rows))
        judge(rows, golden.min_sqnr_db)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def read(bundle: Path) -> tuple[Path, Golden]:
    """The package of a bundle and its golden cases.

    Raises UsageError for a folder that is no Core ML bundle.
    """
    packages = sorted(bundle.glob("*.mlpackage"))
    if len(packages) != 1:
        raise UsageError(f"{bundle} holds {len(packages)} Core ML packages; give a bundle's folder, with one")
    path = bundle / "golden.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        windows = [window for case in record["cases"] for window in case["windows"]]
        golden = Golden(cases=len(record["cases"]), windows=windows, min_sqnr_db=float(record["min_sqnr_db"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read as golden cases: {error}") from None
    if not windows:
        raise UsageError(f"{path} holds no window")
    return packages[0], golden


def compare(package: Path, golden: Golden, units: str, open_program: Open) -> Compared:
    """Every window in Core ML on these units, beside what was recorded and what the evaluation gives."""
    program, reference = open_program(package, units), coreml.evaluated(package)
    sides: list[list[np.ndarray]] = [[], [], []]
    for window in golden.windows:
        for side, logits in zip(sides, _logits(window, program, reference), strict=True):
            side.append(logits)
    got, recorded, evaluated = (np.concatenate(side).astype(np.float64) for side in sides)
    return Compared(
        units=units,
        windows=len(golden.windows),
        recorded_sqnr_db=sqnr_db(recorded, got),
        recorded_max_error=float(np.abs(recorded - got).max()),
        evaluated_sqnr_db=sqnr_db(evaluated, got),
        evaluated_max_error=float(np.abs(evaluated - got).max()),
    )


def _logits(window: dict[str, Any], program: Runner, reference: coreml.CoreMLRunner) -> Iterator[np.ndarray]:
    """Of one window: Core ML's, the recorded and the evaluation's, all outputs in one row each."""
    ids = np.array([window["input_ids"]], np.int32)
    mask = np.ones_like(ids)
    yield np.concatenate([output[0] for output in program(ids, mask)])
    yield np.concatenate([np.array(window[name], np.float32) for name in reference.outputs])
    yield np.concatenate([output[0] for output in reference(ids, mask)])


def sqnr_db(wanted: np.ndarray, got: np.ndarray) -> float:
    """10 · log10(Σ wanted² / Σ (wanted − got)²): inf when equal, −inf where `got` is not finite."""
    if not np.isfinite(got).all():
        return float("-inf")
    noise = float(np.square(wanted - got).sum())
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(wanted).sum() / noise))


def table(rows: Sequence[Compared]) -> str:
    """A line for each choice of compute units."""
    lines = [
        f"{'compute units':14}{'windows':>8}   {'against the recorded':>24}   {'against the evaluation':>24}"
    ]
    for row in rows:
        recorded = f"{row.recorded_sqnr_db:.1f} dB, max {row.recorded_max_error:.4f}"
        evaluated = f"{row.evaluated_sqnr_db:.1f} dB, max {row.evaluated_max_error:.4f}"
        lines.append(f"{row.units:14}{row.windows:>8}   {recorded:>24}   {evaluated:>24}")
    return "\n".join(lines)


def judge(rows: Sequence[Compared], min_sqnr_db: float) -> None:
    """Raises VerificationFailed naming the first units whose logits are not those recorded."""
    for row in rows:
        if row.recorded_sqnr_db < min_sqnr_db:
            raise VerificationFailed(
                f"on {row.units} Core ML's logits are off (SQNR {row.recorded_sqnr_db:.1f} dB to the recorded, "
                f"{min_sqnr_db:g} wanted)"
            )


if __name__ == "__main__":
    sys.exit(main())
