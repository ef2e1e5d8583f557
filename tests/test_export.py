"""The command line from a checkpoint to verified bundles, and what it refuses before anything is made."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from transformers import BertModel, RobertaConfig, RobertaForQuestionAnswering

from pipeline import export, verify
from pipeline.bundles import read
from pipeline.recipe import Classification, Task
from pipeline.stages.adopt import OWN_ANSWERS
from tests.checkpoints import make
from tests.stages.conftest import FakeExporter, install
from tests.test_run import call, origins

STAGES = [
    "adopt",
    "quantize",
    "evaluate checkpoint",
    "reference torch float32",
    "reference torch int8 weights",
    "export fake",
    "lint fake",
    "verify fake",
    "bundle fake",
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints, named after their architectures."""
    at = tmp_path_factory.mktemp("checkpoints")
    for name in ("bert-qa-uncased", "bert-classification", "bert-regression"):
        make(name, at / name)
    return at


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeExporter())


def test_questions(
    fake: None, checkpoints: Path, question_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out, store = checkpoints / "bert-qa-uncased", tmp_path / "out", tmp_path / "store"
    data = ("--eval-data", question_file, "--precision", "float32")  # int8 moves answers of random weights
    flags = ("--target", "fake", "--out", out, "--store", store, *data)
    assert call(export.main, folder, *flags) == 0
    printed, err = capfd.readouterr()
    assert (err, list(origins(printed))) == ("", STAGES)
    error = re.search(r"off the Hugging Face model by (\S+) of the largest logit", printed)
    assert error is not None
    assert 0 < float(error[1]) < 1e-4
    bundle = read(out / "fake")
    assert bundle.name == "bert-qa-uncased"
    assert bundle.task == Task(max_length=384, stride=128)
    assert bundle.program.name == "bert-qa-uncased_qa_seq384_float32_fake.fake"
    card = (out / "fake" / "README.md").read_text(encoding="utf-8")
    assert "It was compared with the torch student" in card
    assert "distil" not in card
    assert "prun" not in card
    assert f"bundle  fake              {out / 'fake'}" in printed
    assert call(verify.main, out / "fake") == 0
    capfd.readouterr()

    assert call(export.main, folder, *flags) == 0
    assert set(origins(capfd.readouterr().out).values()) == {"reused"}


def test_labels_come_along_and_texts_of_our_own_are_labelled_by_the_checkpoint(
    fake: None, checkpoints: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ("--target", "fake", "--out", tmp_path / "out", "--store", tmp_path / "store")
    folder = checkpoints / "bert-classification"
    assert call(export.main, folder, *flags, "--precision", "float32", "--max-length", 64) == 0
    printed = capfd.readouterr().out
    assert re.search(r"checkpoint\s+│\s+100\.0", printed)
    bundle = read(tmp_path / "out" / "fake")
    assert isinstance(bundle.task, Classification)
    assert bundle.task.labels == ("no", "perhaps", "yes")
    card = (tmp_path / "out" / "fake" / "README.md").read_text(encoding="utf-8")
    assert f"on {OWN_ANSWERS}" in card
    assert "int8" not in card
    cases = json.loads((tmp_path / "out" / "fake" / "golden.json").read_text(encoding="utf-8"))["cases"]
    assert {case["answer"]["label"] for case in cases} <= {"no", "perhaps", "yes"}
    assert {case.get("pair") is None for case in cases} == {True, False}


def test_texts_with_gold(
    fake: None, checkpoints: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"The mill {n}", "pair": "The river", "label": ("yes", "no")[n % 2]} for n in range(12)]
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    flags = ("--target", "fake", "--out", tmp_path / "out", "--store", tmp_path / "store")
    data = ("--eval-data", tmp_path / "dev.jsonl")
    assert call(export.main, checkpoints / "bert-classification", *flags, *data) == 0
    assert re.search(r"checkpoint\s+│\s+[\d.]+ │\s+12 ", capfd.readouterr().out)


def test_a_value(fake: None, checkpoints: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flags = ("--target", "fake", "--out", tmp_path / "out", "--store", tmp_path / "store")
    assert call(export.main, checkpoints / "bert-regression", *flags) == 0
    printed = capfd.readouterr().out
    assert "Pearson" in printed
    assert read(tmp_path / "out" / "fake").task.kind == "regression"


def test_a_real_runtime(checkpoints: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("coremltools")
    flags = ("--target", "coreml", "--out", tmp_path / "out", "--store", tmp_path / "store")
    assert call(export.main, checkpoints / "bert-classification", *flags, "--max-length", 32) == 0
    assert call(verify.main, tmp_path / "out" / "coreml") == 0
    assert "12 golden cases replayed: verified" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--max-length", "513"), r"--max-length is 513; .* can have 16 to 512 tokens"),
        (("--max-length", "15"), r"--max-length is 15; .* can have 16 to 512 tokens"),
        (("--lengths", "64-128"), r"--lengths wants numbers of tokens with commas between, .* got '64-128'"),
        (("--lengths", "64,128"), r"export.lengths must end with task.max_length, 384, got \[64, 128\]"),
        (("--eval-data", "nowhere.json"), r"nowhere.json does not exist; check the path"),
        (("--target", "windows-phone"), r"unknown target 'windows-phone'"),
    ],
)
def test_flags_that_cannot_be(
    flags: tuple[str, ...],
    sentence: str,
    checkpoints: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = ("--out", tmp_path / "out", "--store", tmp_path / "store")
    assert call(export.main, checkpoints / "bert-qa-uncased", *places, *flags) == 2
    err = capfd.readouterr().err
    assert re.fullmatch(rf"error: .*{sentence}.*\n", err)
    assert not (tmp_path / "out").exists()


def test_checkpoints_that_cannot_be(
    checkpoints: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = RobertaConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    RobertaForQuestionAnswering(config).save_pretrained(tmp_path / "roberta")
    encoder = Path(shutil.copytree(checkpoints / "bert-classification", tmp_path / "encoder"))
    BertModel.from_pretrained(encoder).save_pretrained(encoder)
    supported = r"supported are bert, distilbert \(question answering, classification, regression\)"
    for folder, sentence in (
        (tmp_path / "roberta", f"holds a model of family 'roberta'; {supported}"),
        (encoder, "has no head for .*; teach it first: python -m pipeline.run --teacher .*encoder"),
        (tmp_path / "nowhere", "does not exist; check the path"),
        ("nobody/no-such-model", "neither a folder here nor to be had from the Hugging Face hub"),
    ):
        capfd.readouterr()
        assert call(export.main, folder, "--store", tmp_path / "store", "--out", tmp_path / "out") == 2
        assert re.fullmatch(rf"error: .*{sentence}.*\n", capfd.readouterr().err)
