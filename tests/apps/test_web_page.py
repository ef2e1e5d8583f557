"""The web app's page in a real browser, and the measurement that it writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from transformers import AutoTokenizer

from device_bench import __main__ as command_line
from device_bench.measurement import SCHEMA, Measurement, Validity, read, write
from device_bench.records import multiply_adds, program_sha256, tree_bytes
from device_bench.stats import median
from device_bench.toolchain import web_page
from device_bench.validity import judge
from pipeline import bundles
from pipeline.tasks import question_answering, squad
from pipeline.types import UsageError
from tests.test_run import call

CASES = 8
CLEAR = 0.1
"""Logits: an answer that much better than the next is the same in every arithmetic."""


class Page(NamedTuple):
    bundle: Path
    measurement: Path


def renamed(bundle: Path, folder: Path, **fields: Any) -> Path:
    """The same program under another name; a file that is new in `folder` is listed as well."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    shutil.copytree(bundle, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
    kept = {name: value for name, value in manifest.items() if name not in ("files", "format", "seal")}
    bundles.write_manifest(folder, {**kept, **fields})
    return folder


def golden_cases(folder: Path) -> list[dict[str, Any]]:
    """Questions and what Python answers, where nothing is a close call."""
    bundle = bundles.read(folder, "question-answering")
    runner, tokenizer = bundle.runner(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    cases: list[dict[str, Any]] = []
    for asked in squad.read("passages"):
        best, second, *_ = question_answering.answer(asked, runner, tokenizer, bundle.task)  # type: ignore[arg-type]
        if best.score - second.score > CLEAR:
            answer = {"text": best.text, "start": best.start, "end": best.end}
            cases.append({"question": asked.text, "passage": asked.passage, "answer": answer})
        if len(cases) == CASES:
            break
    return cases


@pytest.fixture(scope="module")
def page(cache: Path, tflite_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The browser tests, passed, over a bundle with golden answers and another one."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "bundle").mkdir()
    cases = golden_cases(tflite_bundle)
    (folder / "bundle" / "golden.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    products = {"per_token": 1000, "per_pair": 10}
    known = {"metrics": {"f1": 12.5, "questions": 8.0}, "parameters": 1234, "multiply_adds": products}
    bundle = renamed(tflite_bundle, folder / "bundle", name="random", **known)
    other = renamed(tflite_bundle, folder / "other", name="other", **known)
    web_page.check(bundle, other, cache, folder)
    return Page(other, folder / "measurement.json")


@pytest.fixture(scope="module")
def written(page: Page) -> Measurement:
    return read(page.measurement)


def test_what_the_browser_finds_is_told(cache: Path, tflite_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both bundles are called random"):
        web_page.check(tflite_bundle, tflite_bundle, cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"it has no manifest\.json, so it is not a bundle"):
        web_page.check(tflite_bundle, tmp_path / "empty", cache)


def test_the_measurement_fits_the_schema(page: Page) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(page.measurement.read_text(encoding="utf-8")))


def test_the_measurement_says_what_was_measured(page: Page, written: Measurement) -> None:
    bundle, program = bundles.read(page.bundle), written.candidate
    assert (written.place.kind, written.place.emulated) == ("browser", False)
    assert (program.name, program.target, program.precision) == ("other", "tflite", "int8")
    assert (program.bundle_seal, program.program_sha256) == (bundle.seal, program_sha256(bundle))
    assert program.footprint.program_bytes == tree_bytes(bundle.program)
    assert program.footprint.bundle_bytes == tree_bytes(bundle.path)
    assert set(program.lengths) == {bundle.lengths[0]}
    assert len(program.lengths) == len(program.samples_ns) >= 50
    assert program.multiply_adds == multiply_adds(bundle, program.lengths)
    assert program.parameters == bundle.parameters
    assert written.protocol.queries == f"fixed:{bundle.lengths[0]}"
    said = written.made
    assert said["cross_origin_isolated"] is True
    assert said["hardware_concurrency"] == written.place.cores > 0
    assert program.threads.asked == str(written.protocol.threads)


def test_the_page_judges_as_we_do(written: Measurement) -> None:
    ours = judge(written.place, written.protocol, written.programs, written.before, written.after)
    assert written.validity == ours


@pytest.mark.parametrize("is_valid", [True, False])
def test_the_claims_take_it(
    is_valid: bool, written: Measurement, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    validity = Validity(valid=is_valid, reasons=() if is_valid else ("the machine was busy",))
    file = tmp_path / "measurement.json"
    write(written.model_copy(update={"validity": validity}), file)
    assert call(command_line.main, "claims", file, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    (shown,) = said["compared" if is_valid else "invalid"]
    assert shown["kind"] == "browser"
    assert not said["invalid" if is_valid else "compared"]
    if is_valid:
        assert shown["value"] == pytest.approx(median(written.candidate.samples_ns) / 1e6)
