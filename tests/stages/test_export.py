"""Stage export: what a program is told of itself, and what of that is in the stage's key."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline
from exporters.base import Lowered
from pipeline import stages, store
from pipeline.types import Silent, Student
from tests.stages.conftest import Chain, FakeExporter


class Keeping(FakeExporter):
    """Remembers what it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[Student] = []

    def lower(self, student_: Student, out: Path) -> Lowered:
        self.handed.append(student_)
        return super().lower(student_, out)


def export_of(chain: Chain, exporter: FakeExporter, scored_on: str) -> stages.Export:
    stage = chain.stages["export"]
    assert isinstance(stage, stages.Export)
    return replace(stage, exporter=exporter, score=chain.made["evaluate"], scored_on=scored_on)


def exported(stage: stages.Export, tmp_path: Path) -> None:
    for folder in ("out", "work"):
        (tmp_path / folder).mkdir()
    stage.run(tmp_path / "out", tmp_path / "work", Silent())


def test_a_program_is_told_who_made_it_from_what(chain: Chain, tmp_path: Path) -> None:
    keeping = Keeping()
    data = tmp_path / "dev-v1.1-half.json"
    data.write_text("{}")
    exported(export_of(chain, keeping, str(data)), tmp_path)
    told = keeping.handed[0].metadata
    vocabulary = (chain.made["quantize"].path / "vocab.txt").read_bytes()
    score = chain.made["evaluate"].metrics
    assert told["author"] == "pocket-distil"
    assert told["licence"] == "Apache-2.0"
    assert told["version"] == pipeline.__version__
    assert told["task"] == "question-answering"
    assert told["max_length"] == "96"
    assert told["vocabulary_sha256"] == hashlib.sha256(vocabulary).hexdigest()
    assert told["student_sha256"] == chain.made["quantize"].sha256
    assert told["f1"] == (
        f"{score['f1']:.1f} (student in torch, {score['questions']:.0f} questions of dev-v1.1-half)"
    )
    assert str(tmp_path) not in "".join(told.values())


def test_a_program_without_a_score_claims_none(chain: Chain, tmp_path: Path) -> None:
    keeping = Keeping()
    exported(replace(export_of(chain, keeping, ""), score=None), tmp_path)
    assert not keeping.handed[0].metadata.keys() & {"f1", "em"}


def test_score_and_its_data_are_in_the_key_and_the_commit_is_not(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = export_of(chain, FakeExporter(), "passages")
    key = store.key_of(stage, 0)
    assert store.key_of(replace(stage, score=None), 0) != key
    assert store.key_of(replace(stage, scored_on="other"), 0) != key
    monkeypatch.setattr(store, "_git", lambda: {"commit": "f" * 40, "dirty": False})
    assert store.key_of(stage, 0) == key


def test_the_commit_is_short_and_says_when_files_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_git", lambda: {"commit": "0123456789abcdef", "dirty": False})
    assert store.commit() == "0123456789ab"
    monkeypatch.setattr(store, "_git", lambda: {"commit": "0123456789abcdef", "dirty": True})
    assert store.commit() == "0123456789ab+dirty"
    monkeypatch.setattr(store, "_git", lambda: {"commit": None, "dirty": None})
    assert store.commit() == "unknown"


def test_the_commit_is_the_one_git_names() -> None:
    root = Path(pipeline.__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    assert store.commit().removesuffix("+dirty") == (done.stdout.strip()[:12] or "unknown")
