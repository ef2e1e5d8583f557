"""compare: a deliberate slow-down is found, noise is not one, and only like is held against like."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_bench.measurement import Counted, Footprint, Measured, Measurement, Protocol, Wish, write
from device_bench.regression import Comparison, Limits
from device_bench.regression import compare as held
from device_bench.verbs import compare
from pipeline import console
from pipeline.types import UsageError
from tests.device_bench import measurements as made_up
from tests.device_bench.measurements import counting, counts, latency, program, times, with_candidate

LIMITS = Limits(regression=0.005, memory=0.05)
NEWER: dict[str, Any] = {"runtime": "LiteRT 2.4.0"}


def failures(base: Measurement, new: Measurement, exact: bool | None = None) -> list[str]:
    return [line.name.strip() for line in held(base, new, LIMITS, exact).failed]


def counted_at(factor: float, **changed: Any) -> Measurement:
    return counts(counting(millions=125.0 * factor, **changed))


@pytest.mark.parametrize("changed", [{}, NEWER, {"program_sha256": "f" * 64}])
def test_two_percent_more_instructions_fail(changed: dict[str, Any]) -> None:
    assert "instructions" in failures(counted_at(1.0), counted_at(1.02, **changed))


@pytest.mark.parametrize("factor", [0.5, 0.98, 1.0, 1.0049])
def test_less_than_the_limit_passes_where_tools_changed(factor: float) -> None:
    made = held(counted_at(1.0), counted_at(factor, **NEWER), LIMITS)
    assert made.failed == ()
    assert made.rules[0] == (
        "instructions of an inference: at most 0.5 % more (median of 3, the runtime changed)"
    )


def test_just_above_the_limit_fails() -> None:
    assert failures(counted_at(1.0), counted_at(1.00501, **NEWER)) == ["instructions"]


@pytest.mark.parametrize("change", [1, -1])
def test_with_the_same_tools_one_instruction_fails(change: int) -> None:
    base = counts()

    def another(candidate: Measured) -> Measured:
        assert candidate.instructions
        first, *others = candidate.instructions.inferences
        moved = first.model_copy(update={"total": first.total + change, "other": first.other + change})
        counted = Counted(loading=candidate.instructions.loading, inferences=(*others, moved))
        return candidate.model_copy(update={"instructions": counted})

    new = with_candidate(base, another)
    assert failures(base, new) == ["instructions", "other"], "though the medians are the same"
    assert failures(base, new, exact=False) == []
    made = held(base, base, LIMITS)
    assert made.failed == ()
    assert made.rules[0] == (
        "instructions of an inference: each inference and class has to be equal "
        "(median of 3, program, runtime and emulator are the same)"
    )


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (counts(counting(program_sha256="f" * 64)), "program"),
        (counts(counting(**NEWER)), "runtime"),
        (counts(counting(), place=made_up.EMULATOR.model_copy(update={"system": "QEMU 10.0"})), "emulator"),
        (counts(counting(), made={"tools": {"qemu": "7.2.23"}}), "set of tools"),
        (counts(counting(program_sha256="f" * 64, **NEWER)), "program and the runtime"),
    ],
)
def test_counts_need_not_be_equal_once_what_determines_them_changed(new: Measurement, changed: str) -> None:
    (rule, *_) = held(counts(counting()), new, LIMITS).rules
    assert "at most 0.5 % more" in rule
    assert f"the {changed} changed" in rule
    assert (
        "has to be equal (median of 3, as asked" in held(counts(counting()), new, LIMITS, exact=True).rules[0]
    )


def test_loading_is_not_judged_and_a_longer_run_is_compared_as_far_as_both_go() -> None:
    base, longer = counts(counting()), made_up.counted(125.0, inferences=7)
    slower_start = Counted(loading=made_up.instructions(9999.0), inferences=longer.inferences)
    new = counts(counting(instructions=slower_start, lengths=(128,) * 7))
    assert failures(base, new) == []


def noisy(seed: int, slower: float = 1.0, paired: bool = True, noise: float = 0.03) -> Measurement:
    """A phone that drifts by a fifth while it is measured; both programs feel it, run by run."""
    random = np.random.default_rng(seed)
    drift = np.exp(np.cumsum(random.normal(0, 0.01, made_up.RUNS))) * random.uniform(0.9, 1.1)
    mine = program(samples_ns=times(10.0 * slower, noise=noise, seed=2 * seed, drift=drift))
    theirs = program("baseline", samples_ns=times(80.0, noise=noise, seed=2 * seed + 1, drift=drift))
    return latency(mine, theirs) if paired else latency(mine)


def test_noise_does_not_fail() -> None:
    failed = [seed for seed in range(60) if failures(noisy(seed), noisy(seed + 1000))]
    assert failed == []


def test_a_slow_down_beyond_the_noise_fails() -> None:
    found = [seed for seed in range(20) if failures(noisy(seed), noisy(seed + 1000, slower=1.1))]
    assert len(found) == 20
    assert failures(noisy(1), noisy(2, slower=0.5)) == []


def test_without_pairs_medians_are_compared() -> None:
    def steady(seed: int, slower: float = 1.0) -> Measurement:
        return latency(program(samples_ns=times(10.0 * slower, noise=0.01, seed=seed)))

    made = held(steady(1), steady(2), LIMITS)
    assert "by medians, as there is no paired baseline in both" in made.rules[0]
    assert [line.name for line in made.lines][:1] == ["latency p50"]
    false_alarms = sum(bool(failures(steady(seed), steady(seed + 500))) for seed in range(20))
    assert false_alarms <= 1
    assert all(failures(steady(seed), steady(seed + 500, slower=1.05)) for seed in range(5))


def test_the_interval_of_medians_covers_the_truth() -> None:
    """Its 95 % interval holds the true change about 95 times in 100."""
    covered = 0
    for seed in range(60):
        base = latency(program(samples_ns=times(10.0, noise=0.05, seed=seed)))
        new = latency(program(samples_ns=times(10.2, noise=0.05, seed=seed + 5000)))
        ends = held(base, new, LIMITS).lines[0].ends
        assert ends is not None
        covered += ends[0] <= 0.02 <= ends[1]
    assert covered >= 52


def test_which_baseline_is_the_peer() -> None:
    whole = latency()
    assert "by pairs with bert-base int8" in held(whole, whole, LIMITS).rules[0]
    floats = latency(program(), program("baseline", "float32"))
    assert "by pairs with bert-base float32" in held(whole, floats, LIMITS).rules[0]
    other = latency(program(), program("baseline", program_sha256="e" * 64))
    assert "bert-base int8, whose program changed" in held(whole, other, LIMITS).rules[0]
    renamed = latency(program(), program("baseline", name="bert-tiny"))
    apart = latency(protocol=whole.protocol.model_copy(update={"interleaved": False}))
    uneven = latency(program(), program("baseline", samples_ns=times(80.0, count=49)))
    for new in (renamed, apart, uneven):
        assert "by medians" in held(whole, new, LIMITS).rules[0]


def test_times_of_an_emulated_device_are_not_judged_nor_shown() -> None:
    place = made_up.PHONE.model_copy(update={"emulated": True, "name": "qemu-arm64 (emulated)"})
    base = latency(program(), place=place)
    new = latency(program(samples_ns=times(99.0)), place=place)
    made = held(base, new, LIMITS)
    assert made.failed == ()
    assert [line.name for line in made.lines] == ["program bytes", "peak memory, bytes"]
    assert "neither judged nor shown" in made.rules[0]


def sized(program_bytes: int, peak: int | None) -> Measurement:
    footprint = Footprint(program_bytes=program_bytes, bundle_bytes=program_bytes)
    return counts(counting(footprint=footprint, peak_resident_bytes=peak))


def test_footprint_and_memory_have_limits_of_their_own() -> None:
    base = sized(20_000_000, 50_000_000)
    assert failures(base, sized(20_100_000, 52_500_000)) == []
    assert failures(base, sized(20_100_001, 52_500_000)) == ["program bytes"]
    assert failures(base, sized(20_000_000, 52_500_001)) == ["peak memory, bytes"]
    assert failures(base, sized(20_000_000, None)) == []
    assert "peak memory, bytes: at most 5 % more" in held(base, base, LIMITS).rules


def protocol(**changed: Any) -> Protocol:
    return counts().protocol.model_copy(update=changed)


def at(**changed: Any) -> Measurement:
    return counts(place=made_up.EMULATOR.model_copy(update=changed))


@pytest.mark.parametrize(
    ("new", "differs"),
    [
        (latency(), "metric: instructions, then latency"),
        (at(kind="host"), "device: arm64-emulator qemu-arm64 (emulated) (Cortex-A76), then host"),
        (at(name="another"), "device"),
        (at(cpu="max,sve=off,sme=off"), "core: cortex-a76, then max,sve=off,sme=off"),
        (counts(before={"pinned_to": [4, 5]}), "cores held to: [], then [4, 5]"),
        (counts(counting(target="onnx")), "target: tflite, then onnx"),
        (counts(counting(runner="python")), "runner: native, then python"),
        (counts(protocol=protocol(queries="squad")), "queries: fixed:128, then squad"),
        (counts(counting(lengths=(384,) * 3)), "lengths: 128, then 384"),
        (counts(counting(lengths=(128, 192, 128))), "lengths: 128, then 128, 192, 128"),
        (counts(counting(threads=Wish(asked="2", got="2"))), "threads: 1, then 2"),
        (
            counts(counting(threads=Wish(asked="2", got=None)), protocol=protocol(threads=2)),
            "threads: 1, then 2",
        ),
    ],
)
def test_what_was_not_measured_alike_is_refused(new: Measurement, differs: str) -> None:
    for base, other in ((counts(), new), (new, counts())):
        with pytest.raises(UsageError, match="only like is compared with like") as caught:
            held(base, other, LIMITS)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        held(counts(), new, LIMITS)
    assert f"differ in {differs}" in str(caught.value)


def test_an_invalid_measurement_is_refused_with_its_reason() -> None:
    bad = latency(reasons=("the spread is 0.4", "the phone was hot"))
    with pytest.raises(
        UsageError, match="the new measurement is invalid and compares with nothing: the spread"
    ):
        held(latency(), bad, LIMITS)
    with pytest.raises(
        UsageError, match=r"the base measurement is invalid .*: the spread is 0.4; the phone was"
    ):
        held(bad, latency(), LIMITS)


def test_a_measurement_is_about_one_candidate() -> None:
    for programs in ((counting("baseline"),), (counting(), counting())):
        with pytest.raises(UsageError, match="the new measurement has no candidate, or several"):
            held(counts(), counts(*programs), LIMITS)


@pytest.mark.parametrize("spoil", [{"instructions": None}, {"samples_ns": ()}])
def test_a_measurement_without_its_figures_is_refused(spoil: dict[str, Any]) -> None:
    whole = counts(counting()) if "instructions" in spoil else latency(program())
    empty = with_candidate(whole, lambda candidate: candidate.model_copy(update=spoil))
    with pytest.raises(UsageError, match="one of the measurements"):
        held(whole, empty, LIMITS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5%", 0.005), ("0.5 %", 0.005), ("0.005", 0.005), ("0", 0.0), (".5%", 0.005), ("5%", 0.05)],
)
def test_a_share_is_a_number_or_a_percentage(text: str, value: float) -> None:
    assert compare.share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "half", "-1%", "5", "100%", "1e-3", "0.5%%", "nan"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"write 0\.5% or 0\.005"):
        compare.share(text)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the verb."""

    def verb(*words: object) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        compare.add(parser)
        code = console.run(lambda: compare.main(parser.parse_args([str(word) for word in words])))
        said = capsys.readouterr()
        return code, said.out, said.err

    return verb


def test_two_files(run: Run, tmp_path: Path) -> None:
    base, new, same = (tmp_path / name for name in ("base.json", "new.json", "same.json"))
    write(counted_at(1.0), base)
    write(counted_at(1.0), same)
    write(counted_at(1.02, **NEWER), new)
    code, out, err = run(base, same)
    assert (code, err) == (0, "")
    assert "pocket int8, tflite, on qemu-arm64 (emulated), cortex-a76, fixed:128" in out
    assert "125,000,000" in out
    assert "dot product" in out
    code, out, err = run(base, new, "--max-regression", "0.5%")
    assert code == 1
    assert err == "error: new.json: instructions got worse by +2.00 %, above +0.5 %\n"
    assert "WORSE" in out
    assert run(base, new, "--max-regression", "0.03")[0] == 0
    assert run(base, new, "--max-regression", "3%", "--exact")[0] == 1
    code, _, err = run(base, new, "--exact")
    assert "instructions are not equal (125,000,000, then 127,500,000) and 5 more" in err
    write(latency(), new)
    code, _, err = run(base, new)
    assert code == 2
    assert err.startswith("error: the measurements differ in metric: instructions, then latency; only like")


def test_two_folders(run: Run, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, factor in ((before, 1.0), (after, 1.02)):
        write(counted_at(factor, **({} if factor == 1 else NEWER)), folder / "tflite.json")
        write(counts(), folder / "executorch.json")
    code, out, err = run(before, after)
    assert (code, out.count("pocket int8")) == (1, 2)
    assert err == "error: tflite.json: instructions got worse by +2.00 %, above +0.5 %\n"
    assert run(before, before)[0] == 0
    write(latency(), after / "onnx.json")
    assert run(before, after)[2] == f"error: {after}/onnx.json has no counterpart in {before}\n"
    assert run(after, before)[2] == f"error: {after}/onnx.json has no counterpart in {before}\n"
    write(counts(), before / "onnx.json")
    code, out, err = run(before, after)
    assert (code, out) == (2, "")
    assert err.startswith("error: onnx.json: the measurements differ in metric")


def test_what_is_not_there(run: Run, tmp_path: Path) -> None:
    write(counts(), tmp_path / "one.json")
    (tmp_path / "empty").mkdir()
    for words, said in (
        ((tmp_path / "none", tmp_path), "does not exist; give a measurement.json or a folder of such files"),
        ((tmp_path, tmp_path / "one.json"), "are a folder and a file; give two of a kind"),
        ((tmp_path / "empty", tmp_path / "empty"), "holds no measurement (*.json)"),
    ):
        code, _, err = run(*words)
        assert code == 2
        assert said in err


def test_the_change_reads_well() -> None:
    made: Comparison = held(noisy(3), noisy(4), LIMITS)
    line = next(line for line in made.lines if line.name == "faster than bert-base int8")
    assert line.ends is not None
    assert line.ends[0] < (line.change or 0) < line.ends[1]
    text = compare.change(line)
    assert text.count("%") == 1
    assert " to " in text
