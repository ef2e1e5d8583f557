"""python -m exporters.mil_speed BUNDLE: how fast a Core ML bundle's golden cases are evaluated off a Mac.

The figure is of the machine at hand, other work on it included.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exporters import coreml, coreml_check
from exporters.base import Runner
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
    """Questions a second, and windows of full length, by the median of so many passes.

    Raises UsageError for a folder that is no Core ML bundle.
    """
    package, golden = coreml_check.read(bundle)
    windows, questions = golden.windows, golden.cases
    began = time.perf_counter()
    runner = coreml.evaluated(package, threads=threads)
    loading = time.perf_counter() - began
    inputs = [np.array([window["input_ids"]], np.int32) for window in windows]
    tokens, longest = statistics.fmean(ids.shape[1] for ids in inputs), runner.lengths[-1]
    asked = questions / _seconds(runner, inputs, passes)
    full = 1 / _seconds(runner, [np.ones((1, longest), np.int32)], passes)
    return (
        f"Core ML evaluated op by op, {threads} threads, loaded in {loading:.1f} s: "
        f"{asked:.1f} questions a second (windows of {tokens:.0f} tokens on average), "
        f"{full:.1f} windows of {longest} a second; goal ≥ {GOAL:g}"
    )


def _seconds(runner: Runner, inputs: Sequence[np.ndarray], passes: int) -> float:
    """Median wall time of a pass over the inputs, after one to warm up."""
    spent = []
    for _ in range(passes + 1):
        began = time.perf_counter()
        for ids in inputs:
            runner(ids, np.ones_like(ids))
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:])


if __name__ == "__main__":
    sys.exit(main())
