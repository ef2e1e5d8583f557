"""A bundle in its Python runtime, spoken to as any runner is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from device_bench import python_runner
from device_bench.session import DeviceError, Session
from exporters.base import PER_TOKEN
from pipeline import bundles
from pipeline.types import UsageError

ROOT = Path(__file__).parents[2]
WINDOWS = ((5, 6, 7), tuple(range(10, 42)), (9,) * 64, (9,) * 65)


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    path = tmp_path / "queries"
    path.write_text("".join(" ".join(map(str, window)) + "\n" for window in WINDOWS))
    return path


def command(bundle: Path, queries: Path, *more: object) -> list[str]:
    flags = ("--bundle", bundle, "--queries", queries, *more)
    return [sys.executable, "-m", "device_bench.python_runner", *map(str, flags)]


def test_it_runs_the_bundles_program_and_says_how_long_it_took(
    bundle: Path, queries: Path, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    with Session(command(bundle, queries, "--outputs", outputs), "small") as session:
        assert session.loaded.runtime.startswith("ONNX Runtime 1.")
        assert (session.loaded.threads, session.loaded.delegate) == (1, "cpu")
        ran = [session.run(query) for query in (1, 0)]
        ended = session.end()
    assert [(one.query, one.length) for one in ran] == [(1, 32), (0, 3)]
    assert all(1_000 < one.ns < 60_000_000_000 for one in ran)
    assert ended.peak_resident_bytes is not None
    assert 20e6 < ended.peak_resident_bytes < 2e9
    runner = bundles.read(bundle).runner()
    expected: list[np.ndarray] = []
    for query in (1, 0):
        ids = np.array([WINDOWS[query]], np.int32)
        expected.extend(output.ravel() for output in runner(ids, np.ones_like(ids)))
    assert len(expected) == 2 * len(PER_TOKEN)
    np.testing.assert_array_equal(np.fromfile(outputs, "<f4"), np.concatenate(expected))


def test_two_threads_are_two(bundle: Path, queries: Path) -> None:
    if (os.cpu_count() or 1) < 2:
        assert python_runner.RUNTIMES
        return
    with Session(command(bundle, queries, "--threads", 2), "small") as session:
        assert session.loaded.threads == 2


@pytest.mark.parametrize(
    ("query", "said"), [(3, "gave up: 65 tokens are more than the program's 64"), (4, "gave up: told 'run 4'")]
)
def test_a_query_that_it_cannot_run_is_a_sentence(query: int, said: str, bundle: Path, queries: Path) -> None:
    with Session(command(bundle, queries), "small") as session, pytest.raises(DeviceError, match=said):
        session.run(query)


def test_a_bundle_that_was_altered_is_not_loaded(bundle: Path, queries: Path) -> None:
    (bundle / "vocab.txt").write_text("changed")
    with pytest.raises(DeviceError, match=r"vocab\.txt was altered"):
        Session(command(bundle, queries), "small")


def test_it_ends_when_nobody_listens_any_more(bundle: Path, queries: Path) -> None:
    done = subprocess.run(
        command(bundle, queries),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize("target", ["coreml", "executorch-coreml", "coreai"])
def test_what_is_only_evaluated_here_is_not_measured(target: str) -> None:
    with pytest.raises(UsageError, match=f"programs for {target} do not run in a runtime of theirs"):
        python_runner.runtime_of(target)
