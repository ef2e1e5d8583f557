"""What the report says of devices is what the samples say; what may not be shown is not there."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from device_bench import measurement as records
from device_bench.measurement import Measurement, Validity
from device_bench.stats import describe, paired_ratio
from pipeline import bundles
from pipeline.recipe import Task
from pipeline.report import devices, page, saved
from pipeline.report.bars import wrapped
from pipeline.report.summary import BaselineSize, RunSummary, Timing
from pipeline.report.svg import CHARACTER
from pipeline.stages.baseline import TITLES
from pipeline.types import UsageError, VerificationFailed
from tests.report.conftest import HOSTILE
from tests.report.measurements import EMULATED, HOST, PHONE, measurement, samples
from tests.report.test_page import Reader

I8MM = EMULATED.model_copy(update={"cpu": "max,sve=off,sme=off"})
TASK = Task().model_dump(mode="json")


@pytest.fixture
def run(summary: RunSummary, tmp_path: Path) -> tuple[RunSummary, Path, str]:
    """A summary, its folder with one bundle in it, and that bundle's seal."""
    out = tmp_path / "out"
    bundle = out / "bundles" / "pocket-tflite"
    bundle.mkdir(parents=True)
    (bundle / "pocket.tflite").write_bytes(b"a program")
    fields = {"name": "pocket", "target": "tflite", "program": "pocket.tflite", "metrics": {}}
    windows = {"task": "question-answering", "windows": TASK, "lengths": {"fixed": [384]}}
    bundles.write_manifest(bundle, {**fields, **windows})
    saved.write(summary, out)
    return summary, out, bundles.read(bundle).seal


def put(out: Path, **measured: Measurement) -> None:
    for name, one in measured.items():
        records.write(one, out / devices.FOLDER / f"{name}.json")


def shown(summary: RunSummary, out: Path) -> Reader:
    path = page.render(summary, out, devices.found(summary, out))
    reader = Reader(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def ms(nanoseconds: float) -> str:
    """Milliseconds in the report's digits, computed here once more."""
    value = nanoseconds / 1e6
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def test_latencies_are_those_of_the_samples(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    measured = measurement(seal)
    put(out, host=measured)
    text = shown(summary, out).text
    for program in measured.programs:
        found = describe(program.samples_ns)
        said = f"p50 {ms(found.median_ns)}, p90 {ms(found.p90_ns)}, p99 {ms(found.p99_ns)} ms"
        assert text.count(said) == (0 if program.role == "peak" else 4)  # words and description, twice
    assert "tflite on this machine (host CPU): 384 tokens, 1 thread" in text


def test_ratios_are_paired_and_in_both_conventions(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    measured = measurement(seal, place=PHONE)
    put(out, phone=measured)
    text = shown(summary, out).text
    candidate, baseline = measured.programs[0], measured.programs[1]
    ratio = paired_ratio(baseline.samples_ns, candidate.samples_ns)
    less = [f"{(1 - 1 / end) * 100:.1f}" for end in (ratio.low, ratio.high)]
    assert f"than BERT-base int8 {ratio.value:.2f}× {ratio.low:.2f}–{ratio.high:.2f}; " in text
    assert f"{(1 - 1 / ratio.value) * 100:.0f} % less time ({less[0]}–{less[1]} %)" in text
    assert "tflite on Pixel 8 (phone)" in text


def test_programs_that_did_not_take_turns_have_no_ratio(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    put(out, host=measurement(seal, interleaved=False))
    text = shown(summary, out).text
    assert "one after the other: no ratios of times" in text
    assert "than BERT-base int8" not in text
    assert "Distribution of latency" in text


def test_instructions_by_class(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    put(out, a76=measurement(seal, metric="instructions", place=EMULATED))
    put(out, i8mm=measurement(seal, metric="instructions", place=I8MM, scale=0.5))
    reader = shown(summary, out)
    assert "pocket int8 240 M" in reader.text
    assert "BERT-base int8 2.19 G 9.12× pocket’s" in reader.text
    assert "BERT-base float32 5.90 G 49.2× pocket’s" in reader.text
    assert "tflite on qemu-arm64, Cortex-A76 (emulated core)" in reader.text
    assert "tflite on qemu-arm64, i8mm core (emulated core)" in reader.text
    assert "Instructions 9.1× fewer than BERT-base int8, 384 tokens, 1 thread, emulated core" in reader.text
    assert "2,190,000,000 9.12× 55.0 % 6.0 % 30.0 % 4.0 % 5.0 %" in reader.text
    widths = [
        float(str(attributes["width"]))
        for tag, attributes in reader.tags
        if tag == "rect" and attributes["class"] == "bar dot" and attributes["height"] == "16"
    ]
    assert widths[1] / widths[4] == pytest.approx(2, rel=0.05)  # the same program on the two cores


def test_times_of_an_emulated_device_are_nowhere(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    phone = PHONE.model_copy(update={"emulated": True, "name": "qemu-arm64 (emulated)"})
    emulated = measurement(seal, place=phone)
    put(out, emulated=emulated)
    reader = shown(summary, out)
    assert "emulated phone" in reader.text
    assert "an emulated device: its times are no latencies and not shown" in reader.text
    assert "device-samples" not in (out / page.REPORT).read_text(encoding="utf-8")
    for program in emulated.programs:
        assert ms(describe(program.samples_ns).median_ns) + " ms" not in reader.text


def test_an_invalid_measurement_is_a_reason_and_no_figure(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    reasons = ("times of one length vary by 31%", "the device's thermal state was severe")
    invalid = measurement(seal, place=PHONE, reasons=reasons)
    counted = measurement(seal, metric="instructions", place=EMULATED, reasons=("counts differ",))
    put(out, invalid=invalid, counted=counted)
    text = shown(summary, out).text
    assert f"invalid {reasons[0]} {reasons[1]} invalid.json" in text
    assert "invalid counts differ counted.json" in text
    for heading in ("Times faster, and less time", "Instructions per inference", "Share of the measured peak"):
        assert heading not in text
    assert "110 MB" not in text
    assert "9.1× fewer" not in text


def test_a_virtual_phone_on_another_processor_is_a_trend(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    put(out, virtual=measurement(seal, place=PHONE, trend_only=True))
    text = shown(summary, out).text
    assert "trend only a virtual phone on another processor" in text
    assert "tflite on Pixel 8 (phone, trend only)" in text


def test_share_of_the_peak_in_the_same_precision(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    measured = measurement(seal)
    put(out, host=measured)
    text = shown(summary, out).text
    for place, beside, label in ((0, 3, "pocket int8"), (2, 4, "BERT-base float32")):
        pair = measured.programs[place], measured.programs[beside]
        mine, peak = (2 * (p.multiply_adds or 0) / describe(p.samples_ns).median_ns for p in pair)
        assert f"{label} {mine / peak * 100:.0f} % {mine:.0f} of {peak:.0f} G/s" in text
    put(out, host=measured.model_copy(update={"programs": measured.programs[:3]}))
    assert "Share of the measured peak" not in shown(summary, out).text


def test_footprint_beside_the_baseline_and_the_published_size(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    sizes = tuple(
        BaselineSize(target="tflite", precision=precision, size_bytes=size)
        for precision, size in (("int8", 110_022_688), ("float32", 435_619_056))
    )
    summary = dataclasses.replace(summary, baselines=sizes)
    text = shown(summary, out).text
    assert "tflite: pocket 18.4 MB, BERT-base int8 110 MB, BERT-base float32 436 MB" in text
    assert "207 MB, published" in text
    put(out, host=measurement(seal))
    text = shown(summary, out).text
    assert "pocket 18.4 MB + 5.4 MB runtime, BERT-base int8 110 MB + 5.4 MB runtime" in text
    assert "as measured with LiteRT 2.3.0 (native, host CPU)" in text
    wheel = [p.model_copy(update={"runner": "python"}) for p in measurement(seal).programs]
    put(out, host=measurement(seal).model_copy(update={"programs": tuple(wheel)}))
    assert "MB runtime" not in shown(summary, out).text


def test_another_bundles_measurement_is_named_and_not_shown(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, _ = run
    put(out, foreign=measurement("f" * 64))
    (out / devices.FOLDER / "broken.json").write_text("{}", encoding="utf-8")
    text = shown(summary, out).text
    assert "Not shown, because it measures no bundle of this run: foreign.json." in text
    assert "Not shown: broken.json is no measurement.json" in text
    assert "this machine" not in text.split("On devices")[1].split("Footprint")[0]
    assert "What was measured where" not in text


def test_of_a_setting_measured_twice_the_later_is_shown(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    old, new = measurement(seal, time="2026-01-01"), measurement(seal, time="2026-01-02", scale=3.0)
    put(out, a=new, b=old)
    found = devices.found(summary, out)
    assert [one.file for one in found.measurements] == ["a.json"]
    assert found.notes == ("Not shown: b.json, which a.json repeats.",)


def test_no_figure_stands_beside_an_altered_bundle(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    put(out, host=measurement(seal))
    (out / "bundles" / "pocket-tflite" / "pocket.tflite").write_bytes(b"another program")
    with pytest.raises(VerificationFailed, match="was altered"):
        devices.found(summary, out)


def timing(runs: int = 20) -> Timing:
    taken = {"candidate": 18.0, "bert-base float32": 600.0, "bert-base int8": 110.0}
    return Timing(
        runtime="tflite",
        length=384,
        threads=2,
        processor="Some CPU",
        samples_ns={name: samples(took, runs, place) for place, (name, took) in enumerate(taken.items())},
        peers={"candidate": {"float32": "bert-base float32", "same": "bert-base int8"}},
    )


def test_the_runs_own_bench_is_drawn_from_its_samples(summary: RunSummary, tmp_path: Path) -> None:
    summary = dataclasses.replace(summary, timings=(timing(),))
    text = shown(summary, tmp_path).text
    assert "tflite on Some CPU (host CPU): 384 tokens, 2 threads" in text
    for name, label in (("candidate", "pocket"), ("bert-base int8", "BERT-base int8")):
        found = describe(summary.timings[0].samples_ns[name])
        assert f"{label} p50 {ms(found.median_ns)}, p90 {ms(found.p90_ns)}, p99 {ms(found.p99_ns)} ms" in text
        above = (found.maximum_ns / found.median_ns - 1) * 100
        assert f"slowest +{above:.0f} %" in text


def full(run: tuple[RunSummary, Path, str]) -> tuple[RunSummary, Path]:
    """Everything at once."""
    summary, out, seal = run
    put(
        out,
        host=measurement(seal, runs=300),
        phone=measurement(seal, place=PHONE, trend_only=True),
        a76=measurement(seal, metric="instructions", place=EMULATED),
        i8mm=measurement(seal, metric="instructions", place=I8MM),
        invalid=measurement(seal, place=HOST.model_copy(update={"name": "other"}), reasons=("noise",)),
    )
    return dataclasses.replace(summary, timings=(timing(),)), out


def test_every_word_of_a_drawing_lies_within_it(run: tuple[RunSummary, Path, str]) -> None:
    shown(*full(run))
    html = (out := run[1] / page.REPORT).read_text(encoding="utf-8")
    assert out.is_file()
    new = ("samples", "spread", "device-", "ratio", "counts", "roofline", "footprint")
    checked = 0
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        if not re.search(f'aria-labelledby="({"|".join(new)})', drawing):
            continue
        width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', drawing)[0])
        for x, y, anchor, words in re.findall(
            r'<text x="([^"]+)" y="([^"]+)" text-anchor="(\w+)" class="[^"]*">([^<]*)</text>', drawing
        ):
            length = len(words) * CHARACTER
            start = float(x) - {"start": 0.0, "middle": length / 2, "end": length}[anchor]
            assert start >= -1, words
            assert start + length <= width + 1, words
            assert 9 <= float(y) <= height - 3, words
        for x, wide in re.findall(r'<rect x="([^"]+)"[^>]* width="([^"]+)"', drawing):
            assert -1 <= float(x) <= float(x) + float(wide) <= width + 2
        checked += 1
    assert checked == 2 * 8


def test_drawings_and_tables_can_be_read_without_seeing_them(run: tuple[RunSummary, Path, str]) -> None:
    reader = shown(*full(run))
    identifiers = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert reader.count("table") == reader.count("caption")
    for tag, attributes in reader.tags:
        if tag == "svg":
            assert set(str(attributes["aria-labelledby"]).split()) <= set(identifiers)
    for said in ("These latencies as a table", "Latency as a table", "Instructions as a table"):
        assert said in reader.text
    assert "BERT-base int8 and BERT-base float32 have random weights: size and latency only." in reader.text


def test_hostile_names_of_devices_stay_text(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, seal = run
    place = HOST.model_copy(update={"name": HOSTILE, "processor": HOSTILE, "system": HOSTILE})
    one = measurement(seal, place=place)
    programs = tuple(p.model_copy(update={"name": HOSTILE, "runtime": HOSTILE}) for p in one.programs)
    invalid = one.model_copy(
        update={
            "validity": Validity(valid=False, reasons=(HOSTILE,)),
            "place": place.model_copy(update={"cpu": HOSTILE}),
        }
    )
    put(out, host=one.model_copy(update={"programs": programs}), invalid=invalid)
    reader = shown(summary, out)
    assert reader.count("script") == 0
    assert reader.text.count("<script>alert") > 10


def test_the_report_is_written_again_with_what_was_measured_since(run: tuple[RunSummary, Path, str]) -> None:
    _, out, seal = run
    put(out, host=measurement(seal), foreign=measurement("f" * 64))
    command = [sys.executable, "-m", "pipeline.report", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "foreign.json" in done.stdout
    assert "with 1 measurement\n" in done.stdout
    assert "On devices" in (out / page.REPORT).read_text(encoding="utf-8")


def test_a_summary_comes_back_as_it_was(run: tuple[RunSummary, Path, str]) -> None:
    summary, out, _ = run
    summary = dataclasses.replace(summary, timings=(timing(),))
    saved.write(summary, out)
    assert saved.read(out) == summary


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"recipe_name": "pocket"', '"recipe_name": 7', "recipe_name"),
        ('"questions": 500', '"questions": "many"', "rows.0.questions"),
        ('"recipe_toml": "', '"recipe_toml": "a = = b', "is damaged"),
        ("{", "", "is damaged"),
        ('"candidate": [', '"nobody": [', "timings of tflite"),
    ],
)
def test_a_damaged_summary_is_refused(
    run: tuple[RunSummary, Path, str], before: str, after: str, said: str
) -> None:
    summary, out, _ = run
    saved.write(dataclasses.replace(summary, timings=(timing(),)), out)
    path = out / saved.SUMMARY
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        saved.read(out)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no summary\.json"):
        saved.read(tmp_path)


def test_baselines_have_one_title() -> None:
    assert dict(devices.TITLES) == dict(TITLES)


def test_headings_wrap_within_a_phones_width() -> None:
    lines = wrapped("executorch on a device with a very long name indeed (emulated phone): 384 tokens", 343)
    assert len(lines) > 1
    assert max(map(len, lines)) * CHARACTER <= 343
