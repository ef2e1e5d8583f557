"""python -m exporters.mil_speed BUNDLE: how fast a Core ML bundle's golden cases are evaluated off a Mac.

The figure is of the machine at hand, other work on it included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exporters import coreml, coreml_check
from pipeline.types import PipelineError

GOAL = 3.0
"""Questions a second that verification needs, for pocket on two cores."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the flags, measures, prints one line. Returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m exporters.mil_speed", description=__doc__.partition(":")[2]
    )
    parser.add_argument("bundle", type=Path, help="a folder with one .mlpackage and golden.json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, default=5, help="over all golden cases, after one to warm up")
    given = parser.parse_args(arguments)
    try:
        print(line(given.bundle, given.threads, given.passes))
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def line(bundle: Path, threads: int = 2, passes: int = 5) -> str:
    """Questions a second, the median of so many passes, with the lengths and the threads they are of.

    Raises UsageError for a folder that is no Core ML bundle.
    """
    package, windows = coreml_check.read(bundle)
    questions = len(json.loads((bundle / "golden.json").read_text(encoding="utf-8"))["cases"])
    began = time.perf_counter()
    runner = coreml.evaluated(package, threads=threads)
    loading = time.perf_counter() - began
    inputs = [np.array([window["input_ids"]], np.int32) for window in windows]
    rates = []
    for _ in range(passes + 1):
        began = time.perf_counter()
        for ids in inputs:
            runner(ids, np.ones_like(ids))
        rates.append(questions / (time.perf_counter() - began))
    tokens = statistics.fmean(ids.shape[1] for ids in inputs)
    return (
        f"Core ML evaluated op by op: {statistics.median(rates[1:]):.1f} questions a second (goal ≥ {GOAL:g}), "
        f"{len(inputs)} windows of {tokens:.0f} tokens on average, threads {threads}, loaded in {loading:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
