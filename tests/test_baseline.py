"""Baseline bundles: made like another bundle, good by the contract, and nobody takes their answers for any."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_bench import baselines
from pipeline import baseline, bundles, console, verify
from pipeline.answerers import open_model
from pipeline.bundles import Bundle
from pipeline.models.products import multiply_adds
from pipeline.recipe import Task
from pipeline.stages import Baseline
from pipeline.stages.baseline import TITLES, build
from pipeline.store import SEAL, key_of
from pipeline.types import Silent, UsageError
from tests.stages.conftest import FakeExporter, make_chain

LENGTHS = (32, 48)


@pytest.fixture(scope="module")
def like(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, question_file: Path) -> Bundle:
    """A bundle as stage bundle made it, said to be for TFLite at two lengths; nothing here runs its program."""
    chain = make_chain(tmp_path_factory.mktemp("like"), encoder_folder, question_file)
    folder = chain.made["bundle"].path / "bundle"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["windows"] |= {"max_length": LENGTHS[-1], "stride": 16}
    manifest |= {"target": "tflite", "lengths": {"fixed": list(LENGTHS)}}
    fields = {name: value for name, value in manifest.items() if name not in ("format", "files", SEAL)}
    bundles.write_manifest(folder, fields)
    return bundles.read(folder)


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture(scope="module")
def made(like: Bundle, root: Path) -> Bundle:
    """A tiny BERT, found by its name; the verb made it in a process of its own."""
    heard = Heard()
    (bundle,) = baselines.find("bert-tiny", like, ("int8",), root, heard)
    assert heard.said == ["making bert-tiny in int8 for tflite, once for all measurements like this one"]
    return bundle


def test_it_is_a_bundle_like_the_other(made: Bundle, like: Bundle) -> None:
    assert (made.name, made.target, made.lengths) == ("bert-tiny", "tflite", LENGTHS)
    assert (made.precision, made.random_weights, made.parameters) == ("int8", True, 4_369_410)
    assert made.multiply_adds == multiply_adds(build("bert-tiny"))
    assert made.task == like.task
    assert made.metrics == {}
    for name in baselines.TOKENIZER:
        assert (made.path / name).read_bytes() == (like.path / name).read_bytes()
    manifest, theirs = (
        json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8")) for bundle in (made, like)
    )
    assert set(manifest) - set(theirs) == {"random_weights", "why_not_verified"}
    assert manifest["inputs"] == theirs["inputs"]
    assert manifest["outputs"] == theirs["outputs"]
    assert manifest["verified"] is False
    assert "random" in manifest["why_not_verified"]
    assert json.loads((made.path / "golden.json").read_text())["cases"] == []
    assert "random weights, size and latency only" in (made.path / "README.md").read_text(encoding="utf-8")


def test_its_program_runs(made: Bundle) -> None:
    ids = np.arange(40, dtype=np.int32)[None]
    start, end = made.runner()(ids, np.ones_like(ids))
    assert start.shape == end.shape == (1, 40)
    assert np.isfinite(start).all()


def test_nothing_else_is_left(made: Bundle, root: Path) -> None:
    assert sorted(path.name for path in root.iterdir()) == sorted({made.path.parent.name, "store"})
    assert [path.name for path in made.path.parent.iterdir()] == ["bert-tiny-int8"]


def test_it_is_found_again_without_a_process(
    made: Bundle, like: Bundle, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    heard = Heard()
    assert baselines.find("bert-tiny", like, ("int8",), root, heard) == (made,)
    assert heard.said == []
    with pytest.raises(OSError, match="nowhere"):
        baselines.find("bert-tiny", like, ("int8",), root, heard, length=32)


def test_a_damaged_one_is_dropped_and_made_again(
    made: Bundle, like: Bundle, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb that only copies takes the place of the real one here: it is asked for what is missing."""
    again = shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns("store"))
    place = again / made.path.relative_to(root)
    (place / "README.md").write_text("changed")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncp -r {made.path} {place}\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    heard = Heard()
    (bundle,) = baselines.find("bert-tiny", like, ("int8",), again, heard)
    assert (bundle.path, bundle.seal) == (place, made.seal)
    assert "README.md was altered" in heard.said[0]
    assert (tmp_path / "asked").read_text().split()[1:] == [
        *("pipeline.baseline", "--like", str(like.path), "--shape", "bert-tiny", "--precision", "int8"),
        *("--out", str(place.parent), "--store", str(again / "store")),
    ]


@pytest.mark.parametrize("changed", [{"lengths": (32,)}, {"target": "onnx"}])
def test_its_key_covers_what_shapes_it(changed: dict[str, object], like: Bundle) -> None:
    before = baselines.key("bert-tiny", like, None)
    assert before == baselines.key("bert-tiny", like, None)
    assert before != baselines.key("bert-tiny", replace(like, **changed), None)  # type: ignore[arg-type]
    assert before != baselines.key("linears", like, None)
    assert before != baselines.key("bert-tiny", like, 32)


def test_its_key_covers_the_stage() -> None:
    """Raise MADE together with the stage's version, so that kept bundles of the old one are not found."""
    assert (Baseline.version, baselines.MADE) == (2, 1)
    assert set(baselines.SHAPES) == set(TITLES)


def test_a_folder_is_read_as_a_bundle(made: Bundle, like: Bundle, tmp_path: Path) -> None:
    assert baselines.find(str(made.path), like, ("float32",), tmp_path, Silent()) == (made,)
    with pytest.raises(UsageError, match=r"is a bundle for tflite, and .* is for onnx; programs are compared"):
        baselines.find(str(made.path), replace(like, target="onnx"), ("int8",), tmp_path, Silent())
    with pytest.raises(UsageError, match="'bert-large' is neither a folder nor one of bert-base, bert-tiny"):
        baselines.find("bert-large", like, ("int8",), tmp_path, Silent())


def test_what_the_verb_says_is_said(made: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bert-tiny for tflite could not be made: .* is a baseline itself"):
        baselines.find("bert-tiny", made, ("int8",), tmp_path, Silent())
    assert list(tmp_path.iterdir()) == []


def test_it_answers_nothing_and_there_is_nothing_to_verify(
    made: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="has random weights: it is for size and latency only") as caught:
        open_model(made.path)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(sys, "argv", ["verify", str(made.path)])
    assert console.run(verify.main) == 0
    said = capsys.readouterr().out
    assert said == (
        f"{made.path}: all files as in the manifest; its weights are random, for size and latency only, "
        "so there is nothing else to verify\n"
    )


def test_lengths_are_those_of_the_other(like: Bundle) -> None:
    whole = tuple(range(2, 385))
    assert baseline.lengths_of(like, None) == (48, LENGTHS)
    assert baseline.lengths_of(like, 32) == (32, (32,))
    assert baseline.lengths_of(replace(like, target="executorch", lengths=whole), None) == (384, ())
    assert baseline.lengths_of(replace(like, target="coreml", lengths=whole), 128) == (128, ())
    assert baseline.lengths_of(replace(like, target="coreml", lengths=(128, 384)), 128) == (128, (128,))
    assert baseline.lengths_of(replace(like, target="coreml", lengths=(384,)), None) == (384, (384,))
    for length in (33, 2, 0, -1, 385):
        with pytest.raises(UsageError, match=f"--length {length} is none of .*'s lengths from 16 tokens on"):
            baseline.lengths_of(replace(like, lengths=(2, *LENGTHS)), length)


def test_windows_are_those_of_the_other_or_fit_the_shorter_length(like: Bundle) -> None:
    assert baseline._task(like, 48) == like.task
    assert baseline._task(like, 32) == Task(max_length=32, stride=8)


def test_keys_of_programs_of_one_length_are_as_they_were() -> None:
    exporter = FakeExporter()
    one = Baseline(shape="bert-base", exporter=exporter, precision="int8", length=384)
    several = replace(one, lengths=(128, 384))
    assert one.settings() == {"shape": "bert-base", "target": "fake", "precision": "int8", "length": 384}
    assert several.settings() == {**one.settings(), "lengths": [128, 384]}
    assert key_of(one, 0) != key_of(several, 0)
    assert several.student().lengths == (128, 384)


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.baseline", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_in_the_way_stays(like: Bundle, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "bert-tiny-int8" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = run("--like", str(like.path), "--shape", "bert-tiny", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {mine.parent} is there and is no whole baseline; remove it or give another --out\n"
    )
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("int4", "--precision must be of int8, float32, got 'int4'"),
        ("int8,", "--precision must be of int8, float32, got ''"),
    ],
)
def test_a_bad_precision_is_one_sentence(
    precision: str, said: str, like: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["baseline", "--like", str(like.path), "--out", "x", "--precision", precision]
    )
    with pytest.raises(UsageError) as caught:
        baseline.main()
    assert str(caught.value) == said
