"""claims: figures of ours computed from what is there, each with its kind of device, none that may not be."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_bench import claims, paper
from device_bench.measurement import Measurement, Place, write
from device_bench.verbs import claims as verb
from pipeline import bundles, console
from pipeline.recipe import Task
from pipeline.store import SEAL
from pipeline.types import UsageError, VerificationFailed
from tests.device_bench import measurements as made_up
from tests.device_bench.measurements import counting, counts, latency, program, times, with_candidate

PROGRAM_BYTES = 9_000
EMULATED_PHONE = Place(
    kind="adb",
    name="qemu-arm64 (emulated)",
    emulated=True,
    processor="QEMU",
    cores=1,
    system="Debian 13",
)
MEANINGLESS_MS = 77.777


def make_bundle(folder: Path, **changed: Any) -> bundles.Bundle:
    """A bundle of files that nothing here runs; its metrics and target are the test's."""
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(b"p" * PROGRAM_BYTES)
    fields: dict[str, Any] = {
        "name": "pocket",
        "target": "tflite",
        "task": "question-answering",
        "program": "model.tflite",
        "windows": Task().model_dump(mode="json"),
        "lengths": {"fixed": [384]},
        "metrics": {"f1": 78.4, "questions": 500.0, "student_f1": 80.0},
        "precision": "int8",
        "parameters": 22_000_000,
    }
    bundles.write_manifest(folder, {**fields, **changed})
    return bundles.read(folder)


def summarise(run: Path, questions: int = 1000) -> None:
    """What pipeline.run leaves of its torch models."""
    row = {"questions": questions, "parameters": 22_000_000}
    rows = [
        {**row, "kind": "teacher", "label": "teacher", "scores": {"em": 70.0, "f1": 82.0}},
        {**row, "kind": "student", "label": "distilled", "scores": {"em": 69.0, "f1": 81.0}},
        {**row, "kind": "student", "label": "student", "scores": {"em": 68.0, "f1": 79.5}},
    ]
    text = json.dumps({"primary": "f1", "rows": rows, "bundles": {"tflite": "tflite"}})
    (run / "summary.json").write_text(text, encoding="utf-8")


def of(bundle: bundles.Bundle, measurement: Measurement) -> Measurement:
    """The measurement as one of this bundle."""
    return with_candidate(measurement, lambda p: p.model_copy(update={"bundle_seal": bundle.seal}))


def files_of(folder: Path, **measurements: Measurement) -> Path:
    for name, one in measurements.items():
        write(one, folder / f"{name}.json")
    return folder


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the verb."""

    def ran(*words: object) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        verb.add(parser)
        code = console.run(lambda: verb.main(parser.parse_args([str(word) for word in words])))
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run's folder: a bundle, a summary, a phone's times, an emulator's counts, one that is invalid."""
    out = tmp_path / "pocket"
    bundle = make_bundle(out / "tflite")
    summarise(out)
    slow = program(samples_ns=times(MEANINGLESS_MS, noise=0.0))
    files_of(
        out / "measurements",
        phone=of(bundle, latency()),
        host=of(bundle, latency(place=made_up.HOST)),
        emulator=of(bundle, counts()),
        bad=of(bundle, latency(slow, program("baseline"), reasons=("the phone was hot",))),
        emulated=of(bundle, latency(slow, program("baseline"), place=EMULATED_PHONE)),
    )
    return out


def figures(out: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(out)
    return table


def test_ratios_are_those_of_the_pairs(run: Run, whole: Path) -> None:
    code, out, err = run(whole, "--json")
    assert (code, err) == (0, "")
    compared = figures(out)["compared"]
    (phone,) = [one for one in compared if one["kind"] == "phone" and one["against"] == "bert-base int8"]
    mine, theirs = (np.array(p.samples_ns) for p in (program(), program("baseline")))
    assert phone["ratio"] == pytest.approx(float(np.median(theirs / mine)))
    assert phone["less_percent"] == pytest.approx(100 * (1 - 1 / phone["ratio"]))
    assert phone["interval"][0] < phone["ratio"] < phone["interval"][1]
    assert phone["value"] == pytest.approx(float(np.median(mine)) / 1e6)
    assert (phone["device"], phone["random_weights"]) == ("Pixel 8", True)
    assert phone["conditions"] == "128 tokens, 1 thread, LiteRT 2.3.0 (native)"
    (counted,) = [one for one in compared if one["metric"] == "instructions" and "int8" in one["against"]]
    assert counted["kind"] == "emulated core: instructions only"
    assert counted["device"] == "qemu-arm64 (emulated), cortex-a76"
    assert (counted["value"], counted["ratio"]) == (125e6, 2200 / 125)
    assert counted["interval"] is None
    assert {one["kind"] for one in compared} == {"phone", "host CPU", "emulated core: instructions only"}


def test_emulated_and_invalid_times_are_nowhere(run: Run, whole: Path) -> None:
    for flags in ((), ("--json",)):
        code, out, _ = run(whole, *flags)
        assert code == 0
        assert "77.7" not in out
        assert "77_7" not in out
        assert (
            "pocket int8, tflite on qemu-arm64 (emulated): times are not shown, the device is emulated." in out
        )
        assert "the phone was hot" in out
    (bad,) = figures(run(whole, "--json")[1])["invalid"]
    assert bad == {
        "program": "pocket int8, tflite",
        "device": "Pixel 8",
        "kind": "phone",
        "reasons": ["the phone was hot"],
    }
    _, out, _ = run(whole)
    assert "invalid: pocket int8, tflite on Pixel 8 (phone): the phone was hot" in out


def test_a_bundle_beside_the_paper(run: Run, whole: Path) -> None:
    (bundle,) = figures(run(whole, "--json")[1])["bundles"]
    assert bundle["program_bytes"] == PROGRAM_BYTES
    assert bundle["times_smaller"] == pytest.approx(207e6 / PROGRAM_BYTES)
    assert bundle["is_under_goal"] is True
    assert bundle["fewer_parameters"] == pytest.approx(0.8)
    # 78.4 of the student's 80.0 on 500 questions, the student 79.5 of the teacher's 82.0 on 1,000.
    assert bundle["share_kept"] == pytest.approx(78.4 / 80.0 * 79.5 / 82.0)
    assert (bundle["score"], bundle["questions"], bundle["teacher_questions"]) == (78.4, 500, 1000)


def test_on_the_same_questions_the_share_is_direct(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tflite")
    summarise(tmp_path, questions=500)
    (mine,) = claims.ours(claims.gather([tmp_path]))
    assert mine.share_kept == pytest.approx(78.4 / 82.0)


def test_without_a_summary_nothing_is_said_of_the_teacher(run: Run, tmp_path: Path) -> None:
    make_bundle(tmp_path / "tflite", metrics={"f1": 78.4, "questions": 500.0})
    (mine,) = claims.ours(claims.gather([tmp_path / "tflite"]))
    assert (mine.score, mine.teacher_score, mine.share_kept) == (78.4, None, None)
    assert "no valid measurement of latency on a device of its own" in run(tmp_path)[1]


def test_an_unverified_bundle_has_no_score(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tflite", metrics={}, verified=False)
    summarise(tmp_path)
    (mine,) = claims.ours(claims.gather([tmp_path]))
    assert (mine.score, mine.share_kept) == (None, None)


def test_an_older_bundles_parameters_are_its_runs(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "tflite").path
    manifest = json.loads((folder / "manifest.json").read_text())
    gone = ("format", "files", SEAL, "precision", "parameters")
    bundles.write_manifest(folder, {name: value for name, value in manifest.items() if name not in gone})
    summarise(tmp_path)
    (mine,) = claims.ours(claims.gather([folder]))
    assert (mine.parameters, mine.precision) == (22_000_000, None)


def test_what_is_given_may_be_any_part(run: Run, whole: Path) -> None:
    """A bundle brings the measurements of itself along; a file or a folder of files brings nothing else."""
    other = make_bundle(whole / "other", name="another")
    write(of(other, counts()), whole / "measurements" / "other.json")
    found = claims.gather([whole / "tflite"])
    assert set(found.bundles) == {bundles.read(whole / "tflite").seal}
    assert len(found.measurements) == 5
    assert len(claims.gather([whole / "measurements" / "phone.json"]).measurements) == 1
    assert len(claims.gather([whole / "measurements"]).measurements) == 6
    assert len(claims.gather([whole, whole / "tflite", whole / "measurements"]).measurements) == 6
    alone = figures(run(whole / "measurements" / "emulator.json", "--json")[1])
    assert [one["name"] for one in alone["bundles"]] == ["pocket"]
    assert alone["bundles"][0]["program_bytes"] == made_up.PROGRAM_BYTES["candidate"]


def test_what_is_of_no_bundle_of_the_run_is_left_out(whole: Path) -> None:
    write(latency(), whole / "measurements" / "stray.json")
    found = claims.gather([whole])
    assert len(found.measurements) == 5
    assert found.notes == ["stray.json measures no bundle of this run and is left out."]


def test_a_baseline_claims_nothing(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bert-base-int8", random_weights=True, metrics={})
    found = claims.gather([tmp_path])
    assert list(claims.ours(found)) == []
    assert "random weights" in found.notes[0]


def test_programs_that_were_not_paired_have_no_ratio(run: Run, tmp_path: Path) -> None:
    uneven = program("baseline", samples_ns=times(80.0, count=49))
    files_of(tmp_path, alone=latency(program()), uneven=latency(program(), uneven), counts=counts(counting()))
    compared = figures(run(tmp_path, "--json")[1])["compared"]
    assert [(one["against"], one["ratio"], one["less_percent"]) for one in compared] == [(None, None, None)] * 3
    assert "nothing paired" in run(tmp_path)[1]


def test_both_conventions_and_what_is_known_are_printed(run: Run, whole: Path) -> None:
    _, out, _ = run(whole)
    for text in ("1.71, “71 % faster”", "41.5 %", "207", "66 M", "−40 %", "97 % of GLUE", "iPhone 7 Plus"):
        assert text in out
    for sentence in paper.known():
        assert sentence in out
    assert "Baselines have random weights: size, time and instructions count, answers do not." in out


def test_what_is_known_follows_from_the_published_figures() -> None:
    first, second, third = paper.known()
    assert "668 s against 410 s is 1.63 ×" in first
    assert "3.4 ×, which 6 layers instead of 12 cannot give" in second
    assert "265.5 MB" in third
    assert "207.7 MiB" in third
    assert paper.less_time(2.0) == 50.0
    assert paper.less_time(0.5) == -100.0
    assert 10 * paper.PARAMETERS == 6 * paper.BERT_PARAMETERS
    weights = 108.9e6  # of BERT-base without pooler and token types
    assert weights * 2 / 2**20 == pytest.approx(paper.BERT_FLOAT16_MEBIBYTES, abs=0.1)


def test_a_slower_candidate_needs_more_time(tmp_path: Path, run: Run) -> None:
    slower = latency(program(samples_ns=times(160.0)), program("baseline"))
    (one,) = figures(run(files_of(tmp_path, slow=slower), "--json")[1])["compared"]
    assert one["ratio"] < 1
    assert one["less_percent"] < -90


@pytest.mark.parametrize("kind", sorted(claims.KINDS))
def test_every_kind_of_device_has_a_name(kind: str) -> None:
    place = replace_kind(made_up.PHONE, kind)
    assert claims.kind(place)
    assert "trend only" in claims.kind(place.model_copy(update={"trend_only": True})) or "core" in claims.kind(
        place
    )
    assert "emulated" in claims.kind(place.model_copy(update={"emulated": True}))


def replace_kind(place: Place, kind: str) -> Place:
    return Place.model_validate({**place.model_dump(), "kind": kind})


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, run: Run, whole: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    two = latency(program(), program())
    write(two, tmp_path / "two.json")
    (tmp_path / "bad.json").write_text("{")
    for path, said in (
        (tmp_path / "none", "does not exist; give a bundle, a run's folder or a measurement.json"),
        (empty, "holds neither a bundle nor a measurement"),
        (tmp_path / "two.json", "has no candidate, or several"),
        (tmp_path / "bad.json", "is no measurement.json of format 1"),
    ):
        code, out, err = run(path)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    (whole / "summary.json").write_text('{"primary": "f1", "rows": [3]}')
    with pytest.raises(UsageError, match=r"summary\.json is damaged; run the recipe again"):
        list(claims.ours(claims.gather([whole])))
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / "tflite" / "model.tflite").write_bytes(b"other")
    with pytest.raises(VerificationFailed, match="was altered"):
        claims.gather([copy])
