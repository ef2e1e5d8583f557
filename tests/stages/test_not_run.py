"""A program that this machine makes but cannot run: its bundle, golden cases and bench say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from exporters.base import Structure
from pipeline import bundles
from pipeline.models import student
from pipeline.stages import bench
from pipeline.stages.bench import Bench
from pipeline.stages.bundle import MakeBundle
from pipeline.store import key_of
from pipeline.types import MissingTool, Silent
from tests.stages.conftest import Chain, FakeExporter, FakeRunner, install

WHY = "fake programs run on the moon only"


class Distant(FakeExporter):
    """A fake whose programs cannot be run here."""

    def why_not_run(self) -> str | None:
        return WHY

    def runner(self, program: Path, *, threads: int = 1) -> FakeRunner:
        raise AssertionError("nothing may run it")

    def structure(self, program: Path) -> Structure:
        return Structure(inputs={}, outputs={}, lengths=tuple(range(2, 97)), stored={})


@dataclass(frozen=True)
class Made:
    folder: Path
    manifest: dict[str, Any]
    golden: dict[str, Any]
    card: str


def stage_of(chain: Chain) -> MakeBundle:
    """The chain's bundle stage for a program that no stage could run."""
    stage = chain.stages["bundle"]
    assert isinstance(stage, MakeBundle)
    verified = replace(chain.made["verify"], metrics={"questions": 0.0})
    return replace(stage, exporter=Distant(), verified=verified)


@pytest.fixture(scope="module")
def made(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("distant")
    stage_of(chain).run(out, out, Silent())
    folder = out / "bundle"
    manifest, golden = (
        json.loads((folder / name).read_text(encoding="utf-8")) for name in ("manifest.json", "golden.json")
    )
    return Made(folder, manifest, golden, (folder / "README.md").read_text(encoding="utf-8"))


def test_the_manifest_says_that_it_was_not_verified_and_why(made: Made) -> None:
    assert made.manifest["verified"] is False
    assert made.manifest["why_not_verified"] == WHY
    assert made.manifest["metrics"] == {}
    assert made.manifest["lengths"] == {"shortest": 2, "longest": 96}


def test_a_program_that_was_run_says_so(chain: Chain) -> None:
    folder = chain.made["bundle"].path / "bundle"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["verified"] is True
    assert "why_not_verified" not in manifest
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    assert golden["recorded_from"] == "program"


def test_golden_cases_are_the_torch_students(made: Made, chain: Chain) -> None:
    assert made.golden["recorded_from"] == "torch student"
    model = student.load(chain.made["quantize"].path)
    for case in made.golden["cases"]:
        for window in case["windows"]:
            ids = torch.tensor([window["input_ids"]], dtype=torch.int32)
            with torch.inference_mode():
                start, end = model(ids, torch.ones_like(ids))
            np.testing.assert_allclose(start[0].numpy(), window["start_logits"], atol=1e-3)
            np.testing.assert_allclose(end[0].numpy(), window["end_logits"], atol=1e-3)


def test_the_card_claims_nothing(made: Made) -> None:
    data: Any = ModelCard(made.card).data
    assert not data.eval_results
    assert f"**It was not run.** {WHY}" in made.card
    assert "recorded from the torch student; accuracy was not measured" in made.card
    for claim in ("compared with the torch student", "SQNR", "answered by the program", "python -m pipeline"):
        assert claim not in made.card


def test_opening_it_checks_the_files_and_says_why_it_is_not_run(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Distant())
    with pytest.raises(MissingTool, match=f"all files are as in the manifest, .* was not run: {WHY}") as caught:
        bundles.read(made.folder).runner()
    assert caught.value.exit_code == 3


def test_whether_it_ran_is_part_of_the_key(chain: Chain) -> None:
    here = replace(stage_of(chain), exporter=FakeExporter())
    assert key_of(stage_of(chain), 0) != key_of(here, 0)


def test_no_latency_is_measured(chain: Chain, tmp_path: Path) -> None:
    exporter, exported = Distant(), chain.made["export"]
    assert bench.is_emulated(exporter, exported)
    stage = Bench(
        exported=exported,
        quantized=chain.made["quantize"],
        exporter=exporter,
        baselines={},
        options=chain.recipe.bench,
    )
    said: list[str] = []
    progress = Listening(said.append)
    assert stage.run(tmp_path, tmp_path, progress) == {}
    record = json.loads((tmp_path / bench.RESULT).read_text(encoding="utf-8"))
    assert (record["notes"], record["samples_ns"]) == ([WHY], {})
    assert said == ["fake cannot be run here; no latency is measured"]
    assert bench.latency_of(tmp_path, bench.CANDIDATE) is None


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def say(self, sentence: str) -> None:
        self._say(sentence)
