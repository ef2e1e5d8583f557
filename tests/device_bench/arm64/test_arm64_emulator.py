"""The emulator as a device: counts that repeat to the instruction, logits that are the host's."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_bench.devices.arm64_emulator import Emulator, find
from device_bench.devices.base import Request
from device_bench.measurement import Measurement
from device_bench.toolchain.counter import CORES
from pipeline.bundles import Bundle
from pipeline.models.student import Head
from pipeline.types import PipelineError, Silent, UsageError
from tests.device_bench.arm64.conftest import TARGETS, WINDOWS, request

Bundles = Callable[[str, Head], Bundle]


def measured(bundle: Bundle, cache: Path, core: int = 0, source: str = "fixed:16") -> Measurement:
    return Emulator(CORES[core], cache).measure(request(bundle, cache, source), Silent())


@contextmanager
def every_core_busy() -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    spinning = [context.Process(target=_spin, args=(stop,)) for _ in range(os.cpu_count() or 1)]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        stop.set()
        for process in spinning:
            process.join()


def _spin(stop: object) -> None:
    while not stop.is_set():  # type: ignore[attr-defined]
        sum(range(10_000))


@pytest.mark.parametrize("target", TARGETS)
def test_counts_repeat_to_the_instruction_however_busy_the_machine_is(
    target: str, bundle_of: Bundles, cache: Path
) -> None:
    bundle = bundle_of(target, "question-answering")
    first = measured(bundle, cache)
    with every_core_busy():
        second = measured(bundle, cache)
    one, two = (made.candidate.instructions for made in (first, second))
    assert one is not None
    assert two is not None
    assert one.inferences == two.inferences
    assert len(one.inferences) == 2
    for counted in (*one.inferences, one.loading):
        parts = (counted.dot_product, counted.fma, counted.load_store, counted.branch, counted.other)
        assert counted.total == sum(parts)
        assert all(parts)
    assert one.loading.total > one.inferences[0].total
    assert first.validity.valid, first.validity.reasons
    assert first.place.emulated
    assert first.candidate.samples_ns == first.candidate.load_ns == ()
    assert first.candidate.likeness is not None
    assert first.candidate.likeness.windows == 3


def test_i8mm_does_with_half_the_dot_products(bundle_of: Bundles, cache: Path) -> None:
    """SMMLA multiplies 2 × 8 by 8 × 2, SDOT 4 × 4 by 4: half as many for the same product."""
    bundle = bundle_of("tflite", "question-answering")
    plain, matrix = (measured(bundle, cache, core).candidate.instructions for core in (0, 1))
    assert plain is not None
    assert matrix is not None
    assert plain.inferences[0].dot_product == pytest.approx(2 * matrix.inferences[0].dot_product, rel=0.05)


def test_windows_of_several_lengths_are_all_asked(bundle_of: Bundles, cache: Path) -> None:
    made = measured(bundle_of("executorch", "text-classification"), cache, source="squad")
    assert made.candidate.lengths == tuple(map(len, WINDOWS))
    counts = made.candidate.instructions
    assert counts is not None
    shortest, longest = counts.inferences[2], counts.inferences[3]
    assert shortest.total < longest.total


def test_a_core_that_computes_something_else_is_found_out(bundle_of: Bundles, cache: Path) -> None:
    """With its scalable vectors, QEMU 7.2's max gets int8 products wrong."""
    wrong = dataclasses.replace(CORES[1], cpu="max")
    made = Emulator(wrong, cache).measure(
        request(bundle_of("executorch", "question-answering"), cache), Silent()
    )
    assert not made.validity.valid
    assert "dB from the host's" in made.validity.reasons[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"metric": "latency"}, "milliseconds mean nothing"),
        ({"threads": 2}, "counted on one thread"),
        ({"runner": "python"}, "native runners only"),
        ({"cpu": "big"}, "no big and little"),
    ],
)
def test_what_it_cannot_do_is_a_sentence(
    change: dict[str, object], sentence: str, bundle_of: Bundles, cache: Path
) -> None:
    asked: Request = dataclasses.replace(
        request(bundle_of("tflite", "question-answering"), cache),
        **change,  # type: ignore[arg-type]
    )
    with pytest.raises(UsageError, match=sentence):
        Emulator(CORES[0], cache).measure(asked, Silent())


def test_a_damaged_program_is_a_sentence_that_names_it(bundle_of: Bundles, cache: Path, tmp_path: Path) -> None:
    bundle = bundle_of("executorch", "question-answering")
    program = tmp_path / "program.pte"
    program.write_bytes(bundle.program.read_bytes()[:4096])
    damaged = dataclasses.replace(bundle, program=program)
    with pytest.raises(PipelineError, match=r"small \(candidate\) on arm64-emulator:cortex-a76: .*cannot read"):
        measured(damaged, cache)


def test_cores_have_names(tmp_path: Path) -> None:
    assert [device.name for device in find("arm64-emulator", "", tmp_path)] == [
        "arm64-emulator:cortex-a76",
        "arm64-emulator:i8mm",
    ]
    assert [device.core.name for device in find("arm64-emulator", "i8mm", tmp_path)] == ["i8mm"]
    with pytest.raises(UsageError, match="no core 'm68k'; its cores are cortex-a76 and i8mm"):
        find("arm64-emulator", "m68k", tmp_path)


def test_what_is_missing_comes_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    for device in find("arm64-emulator", "", tmp_path):
        assert "python -m device_bench setup" in (device.why_unavailable() or "")
