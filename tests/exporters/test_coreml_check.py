"""The check on a Mac, with a stand-in for Core ML: what it compares, what it prints, when it fails."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exporters import coreml, coreml_check, mil_speed
from exporters.base import Lowered, Runner
from pipeline import numerics
from tests.exporters.conftest import VOCABULARY

pytest.importorskip("coremltools")


@pytest.fixture(scope="module")
def bundle(program: Callable[..., Lowered], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny student's package and two golden cases of three windows, as the bundle stage writes them."""
    folder = tmp_path_factory.mktemp("bundle")
    package = program("coreml").path
    shutil.copytree(package, folder / package.name)
    runner = coreml.evaluated(package)
    windows = []
    for length in (5, 19, 33):
        ids = np.random.default_rng(length).integers(0, VOCABULARY, (1, length)).astype(np.int32)
        logits = dict(zip(runner.outputs, runner(ids, np.ones_like(ids)), strict=True))
        shown = {name: [round(float(v), 4) for v in values[0]] for name, values in logits.items()}
        windows.append({"input_ids": ids[0].tolist(), **shown})
    cases = [{"id": "a", "windows": windows[:1]}, {"id": "b", "windows": windows[1:]}]
    (folder / "golden.json").write_text(json.dumps({"min_sqnr_db": 25.0, "cases": cases}), encoding="utf-8")
    return folder


def stand_in(noise: dict[str, float]) -> Callable[[Path, str], Runner]:
    """Core ML as it might be: the evaluation, with this much noise on these units."""

    def opened(package: Path, units: str) -> Runner:
        runner, generator = coreml.evaluated(package), np.random.default_rng(0)
        exact = runner.predict

        def predict(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            off = noise.get(units, 0.0)
            return {k: v + off * generator.standard_normal(v.shape) for k, v in exact(feeds).items()}

        runner.predict = predict
        return runner

    return opened


def test_every_unit_is_compared_with_the_recorded_and_the_evaluated(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coreml_check.main([str(bundle)], stand_in({"CPU_AND_NE": 0.001})) == 0
    heading, *lines = capsys.readouterr().out.strip().splitlines()
    assert "against the recorded" in heading
    assert [line.split()[:2] for line in lines] == [["CPU_ONLY", "3"], ["CPU_AND_NE", "3"], ["ALL", "3"]]
    assert "inf dB, max 0.0000" in lines[0]
    assert "inf dB" not in lines[1]


@pytest.mark.parametrize("noise", [0.3, np.nan])
def test_logits_that_are_off_fail_naming_the_units(
    noise: float, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coreml_check.main([str(bundle)], stand_in({"CPU_AND_NE": noise})) == 4
    printed = capsys.readouterr()
    assert printed.err.startswith("on CPU_AND_NE Core ML's logits are off (SQNR ")
    assert "CPU_ONLY" in printed.out


def test_figures_are_those_of_the_pipeline(bundle: Path) -> None:
    package, golden = coreml_check.read(bundle)
    row = coreml_check.compare(package, golden, "ALL", stand_in({"ALL": 0.01}))
    wanted, got = np.random.default_rng(1).normal(size=(2, 50))
    assert coreml_check.sqnr_db(wanted, got) == pytest.approx(numerics.sqnr_db(wanted, got))
    assert 0.01 < row.evaluated_max_error < 0.06
    assert 30 < row.recorded_sqnr_db < 50


def test_the_evaluations_speed_is_one_line(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mil_speed.main([str(bundle), "--threads", "1", "--passes", "2"]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r"Core ML evaluated op by op, 1 threads, loaded in [\d.]+ s: [\d.]+ questions a second "
        r"\(windows of 19 tokens on average\), [\d.]+ windows of 64 a second; goal ≥ 3\n",
        printed,
    )
    assert mil_speed.main([str(bundle / "nothing")]) == 2


def test_off_a_mac_one_sentence_says_so(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert coreml_check.main([str(bundle)]) == 3
    assert capsys.readouterr().err == "Core ML runs on a Mac only; copy the bundle to one and run this there\n"


def test_a_folder_that_is_no_bundle_is_one_sentence(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coreml_check.main([str(tmp_path)], stand_in({})) == 2
    assert "holds 0 Core ML packages; give a bundle's folder" in capsys.readouterr().err
    shutil.copytree(bundle, tmp_path / "torn")
    (tmp_path / "torn" / "golden.json").write_text('{"cases": [], "min_sqnr_db": 25}', encoding="utf-8")
    assert coreml_check.main([str(tmp_path / "torn")], stand_in({})) == 2
    assert "golden.json holds no window" in capsys.readouterr().err
    (tmp_path / "torn" / "golden.json").write_text("{", encoding="utf-8")
    assert coreml_check.main([str(tmp_path / "torn")], stand_in({})) == 2
    assert "cannot be read as golden cases" in capsys.readouterr().err
