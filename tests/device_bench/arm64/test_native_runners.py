"""Native runners against the Python runtimes: the same logits and lengths, sentences for what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from device_bench import native_runners
from device_bench.queries import Queries
from device_bench.session import DeviceError, Session
from device_bench.toolchain import counter
from device_bench.toolchain.tools import Tools
from pipeline.bundles import Bundle
from pipeline.models.student import Head
from pipeline.types import UsageError
from tests.device_bench.arm64.conftest import LENGTHS, TARGETS, WINDOWS

Bundles = Callable[[str, Head], Bundle]


def started(
    target: str, program: Path, cache: Path, folder: Path, windows: Sequence[tuple[int, ...]] = WINDOWS
) -> Session:
    Queries(source="squad", windows=tuple(windows)).write(folder / "queries")
    runner = native_runners.runner(target, "host", cache)
    files = ("--program", program, "--queries", folder / "queries", "--outputs", folder / "outputs")
    return Session([*runner.command(), *map(str, files)], "the runner")


def wanted(bundle: Bundle, windows: Sequence[tuple[int, ...]]) -> np.ndarray:
    run = bundle.runner()
    ids = [np.array([window], dtype=np.int32) for window in windows]
    return np.concatenate([part.ravel() for window in ids for part in run(window, np.ones_like(window))])


@pytest.mark.parametrize("head", ["question-answering", "text-classification"])
@pytest.mark.parametrize("target", TARGETS)
def test_logits_are_those_of_the_python_runtime(
    target: str, head: Head, bundle_of: Bundles, cache: Path, tmp_path: Path
) -> None:
    bundle = bundle_of(target, head)
    with started(target, bundle.program, cache, tmp_path) as session:
        lengths = [session.run(query).length for query in range(len(WINDOWS))]
        lengths.append(session.run(0).length)
        ended = session.end()
    at = [min(n for n in bundle.lengths if n >= len(window)) for window in (*WINDOWS, WINDOWS[0])]
    assert lengths == at
    assert session.loaded.runtime == native_runners.runner(target, "host", cache).runtime
    assert (ended.peak_resident_bytes or 0) > 2**20
    said = np.fromfile(tmp_path / "outputs", dtype="<f4")
    np.testing.assert_array_equal(said, wanted(bundle, (*WINDOWS, WINDOWS[0])))


@pytest.mark.parametrize("target", TARGETS)
def test_failures_are_sentences(target: str, bundle_of: Bundles, cache: Path, tmp_path: Path) -> None:
    program = bundle_of(target, "question-answering").program
    damaged = tmp_path / "damaged"
    damaged.write_bytes(program.read_bytes()[:5000])
    for file, sentence in ((tmp_path / "none", "none cannot be read"), (damaged, "cannot read .*damaged")):
        with pytest.raises(DeviceError, match=sentence):
            started(target, file, cache, tmp_path)
    with (
        started(target, program, cache, tmp_path, [tuple(range(5, 6 + LENGTHS[-1]))]) as session,
        pytest.raises(DeviceError, match="33 tokens are more than the program's 32"),
    ):
        session.run(0)
    with (
        started(target, program, cache, tmp_path) as session,
        pytest.raises(DeviceError, match="query 4 was asked, but there are 4"),
    ):
        session.run(len(WINDOWS))


def test_what_it_is_told_is_checked(bundle_of: Bundles, cache: Path, tmp_path: Path) -> None:
    program = bundle_of("executorch", "question-answering").program
    runner = native_runners.runner("executorch", "host", cache)
    (tmp_path / "good").write_text("5 6 7\n")
    (tmp_path / "bad").write_text("5 6 7\n5 six 7\n")
    good = ("--program", str(program), "--queries", str(tmp_path / "good"))
    cases = (
        ((*good, "--threads", "0"), "", "--threads must be at least 1"),
        ((*good, "--quick"), "", "the flag --quick needs a value"),
        (("--program", str(program)), "", "give --program FILE and --queries FILE"),
        (("--program", str(program), "--queries", str(tmp_path / "bad")), "", "line 2 of .* is no window"),
        (good, "walk 1\n", "neither run N nor end"),
        (good, "run 0x\n", "neither run N nor end"),
        (good, "run 0\n", "was not told to end"),
    )
    for flags, told, sentence in cases:
        ran = subprocess.run([*runner.command(), *flags], input=told, capture_output=True, text=True)
        last = json.loads(ran.stdout.splitlines()[-1])
        assert (ran.returncode, last["event"]) == (1, "failed"), flags
        assert re.search(sentence, last["why"]), last


@pytest.mark.parametrize("target", TARGETS)
def test_arm64_files_need_nothing_beside_them(
    target: str, bundle_of: Bundles, unpacked: Tools, cache: Path, tmp_path: Path
) -> None:
    runner = native_runners.runner(target, "arm64", cache)
    folder = tmp_path / "pushed"
    folder.mkdir()
    for file in runner.files:
        shutil.copy(file, folder)
    bundle = bundle_of(target, "question-answering")
    shutil.copy(bundle.program, folder / "program")
    Queries(source="squad", windows=WINDOWS).write(folder / "queries")
    core = counter.CORES[0]
    qemu = (unpacked.program("qemu-aarch64"), "-cpu", core.cpu, "-L", str(counter.root(core, cache)))
    flags = ("--program", "program", "--queries", "queries", "--outputs", "outputs")
    command = ["env", "-C", str(folder), *qemu, *runner.command("."), *flags]
    with Session(command, "the runner", unpacked.environment) as session:
        for query in range(len(WINDOWS)):
            session.run(query)
        session.end()
    said = np.fromfile(folder / "outputs", dtype="<f4")
    np.testing.assert_allclose(said, wanted(bundle, WINDOWS), atol=0.2)
    assert runner.runtime_bytes == sum(
        file.stat().st_size for file in runner.libraries if file.name not in native_runners.GLIBC
    )


def test_a_target_without_a_runner_is_a_sentence(cache: Path) -> None:
    with pytest.raises(UsageError, match="no native runner for the target coreml; there is one for tflite and"):
        native_runners.runner("coreml", "host", cache)
