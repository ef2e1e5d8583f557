"""What the verbs cannot use: the exit code, one sentence on stderr, and nothing where the result would go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import answer, ask, recipe, run, verify
from tests.stages.conftest import FakeExporter, install, make_chain
from tests.test_run import call

TINY = recipe.RECIPES / "tiny.toml"


def refusal(capture: pytest.CaptureFixture[str]) -> str:
    """The one line that stderr holds."""
    err = capture.readouterr().err
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.strip().removeprefix("error: ")


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs pipeline.run with these flags on recipe tiny; it must refuse with exit code 2."""

    def refused(*flags: object) -> str:
        out, store = tmp_path / "out", tmp_path / "store"
        given = ["--recipe", "tiny", "--target", "tflite", "--store", store, "--out", out, *flags]
        assert call(run.main, *given) == 2
        assert not out.exists()
        assert not list(store.glob("results/*"))
        return refusal(capfd)

    return refused


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("keep_heads", "keep_head", "unknown key prune.keep_head; did you mean 'keep_heads'?"),
        ("keep_heads = 0.5", "keep_heads = 1.5", "prune.keep_heads: input should be less than or equal to 1"),
        ("seed = 0", "seed = -1", "seed: input should be greater than or equal to 0, got -1"),
        ("[task]", "[task", "is not valid TOML"),
        ('name = "tiny"\n', "", "key name is missing"),
        ("length = 128\nruns", "length = 64\nruns", "bench.length must be task.max_length, 128"),
        ('source = "passages"', 'source = "practice"', "eval must be held out"),
    ],
)
def test_a_recipe(old: str, new: str, said: str, refused: Callable[..., str], tmp_path: Path) -> None:
    text = TINY.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(
        text.replace(old, new, 1).replace('split = "train"', ""), encoding="utf-8"
    )
    assert said in refused("--recipe", tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--recipe", "tinny"), "unknown recipe 'tinny'; did you mean 'tiny'?"),
        (("--recipe", "nowhere.toml"), "unknown recipe 'nowhere.toml'"),
        (("--target", "openvino"), "unknown target 'openvino'; targets are coreml, executorch, tflite, onnx"),
        (("--target", "tflite,openvino"), "unknown target 'openvino'"),
        (("--target", ""), "unknown target ''"),
        (("--seed", "-1"), "the flags: seed: input should be greater than or equal to 0, got -1"),
        (("--train-data", "nowhere.json"), "data file nowhere.json does not exist; check the path"),
        (("--train-data", "some/set"), "data set 'some/set' is neither a file here nor to be had from"),
        (("--teacher", "./nowhere"), "checkpoint folder nowhere does not exist; check the path"),
        (("--teacher", "some/model"), "model 'some/model' is neither a folder here nor to be had from"),
        (("--student", "./nowhere"), "checkpoint folder nowhere does not exist; check the path"),
        (("--app", "phone"), "unknown app 'phone'; apps are ios, android, web"),
        (("--app", "ios"), "app ios takes target coreml, not tflite: give it with --target"),
        (
            ("--target", "all", "--app", "android"),
            "names executorch and tflite: leave all but one out",
        ),
        (("--app", "android", "--app-folder", "nowhere"), "there is no nowhere/android; run from a clone"),
        (
            ("--recipe", "sst2", "--app", "android"),
            'its task is "text-classification", and',
        ),
    ],
)
def test_a_flags_value(flags: tuple[str, ...], said: str, refused: Callable[..., str]) -> None:
    assert said in refused(*flags)


@pytest.mark.parametrize("flags", [("--seed", "x"), ("--no-such-flag",), ("--recipe",)])
def test_a_flag_that_argparse_refuses(flags: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert call(run.main, *flags) == 2
    assert "usage: python -m pipeline.run" in capfd.readouterr().err


def test_out_that_is_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    code = call(
        run.main, "--recipe", "tiny", "--target", "tflite", "--store", tmp_path, "--out", tmp_path / "out"
    )
    assert code == 2
    assert "is a file; give a folder" in refusal(capfd)
    assert (tmp_path / "out").read_text() == "mine"


def wrong_offset(document: Any) -> str:
    document["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] += 1
    return json.dumps(document)


@pytest.mark.parametrize("flag", ["--train-data", "--eval-data"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda document: json.dumps(document)[:-40], "is not valid JSON (truncated?)"),
        (lambda document: "", "is not valid JSON"),
        (lambda document: json.dumps({"rows": []}), "is not in the SQuAD layout"),
        (lambda document: json.dumps({"data": []}), "holds no questions"),
        (wrong_offset, "question q00: answer '1858' is not at character 27 of its passage"),
    ],
)
def test_question_files(
    flag: str,
    damage: Callable[[Any], str],
    said: str,
    squad_document: dict[str, Any],
    refused: Callable[..., str],
    tmp_path: Path,
) -> None:
    (tmp_path / "data.json").write_text(damage(squad_document), encoding="utf-8")
    assert said in refused(flag, tmp_path / "data.json")


def test_teachers(refused: Callable[..., str], bert_qa_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert_qa_folder, tmp_path / "teacher")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "model.safetensors is damaged or truncated" in refused("--teacher", folder)
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors (pickled weights are not loaded)" in refused("--teacher", folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    assert "holds a model of family 'gpt2'; supported are bert, distilbert" in refused("--teacher", folder)
    (folder / "config.json").unlink()
    assert "has no config.json" in refused("--teacher", folder)


@pytest.mark.parametrize(
    ("question", "passage", "said"),
    [
        ("why " * 400, "A mill.", "tokens long, which leaves no room for the passage in 384 tokens"),
        ("", "A mill.", "the question is empty; ask something"),
        (" \n", "A mill.", "the question is empty; ask something"),
        ("Why?", "", "is empty; give some text"),
        ("Why?", " \n\t", "is empty; give some text"),
        ("Why?", None, "cannot be read: No such file or directory"),
        ("Why?", "\ud800", "is not UTF-8 text; convert it"),
    ],
)
def test_ask(
    question: str,
    passage: str | None,
    said: str,
    bert_qa_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "passage.txt"
    if passage is not None:
        file.write_bytes(passage.encode("utf-8", "surrogatepass"))
    assert call(ask.main, question, "--bundle", bert_qa_folder, "--context", file) == 2
    assert said in refusal(capfd)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, question_file: Path) -> Path:
    chain = make_chain(tmp_path_factory.mktemp("refusals"), encoder_folder, question_file)
    return chain.made["bundle"].path / "bundle"


def without_file(folder: Path) -> None:
    (folder / "golden.json").unlink()


def with_altered_file(folder: Path) -> None:
    (folder / "vocab.txt").write_text("other")


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (without_file, 4, "golden.json is missing; make the bundle again"),
        (with_altered_file, 4, "vocab.txt was altered; make the bundle again"),
        (without_manifest, 2, "manifest.json"),
        (shutil.rmtree, 2, "does not exist; make one with python -m pipeline.run"),
    ],
)
def test_bundles_through_every_verb(
    spoil: Callable[[Path], None],
    code: int,
    said: str,
    original: Path,
    question_file: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeExporter())
    bundle, out = shutil.copytree(original, tmp_path / "bundle"), tmp_path / "predictions.json"
    passage = tmp_path / "passage.txt"
    passage.write_text("The old mill was built in 1858.")
    capfd.readouterr()
    assert call(verify.main, bundle) == 0
    assert call(ask.main, "When?", "--bundle", bundle, "--context", passage) == 0
    capfd.readouterr()
    spoil(bundle)
    for verb, arguments in (
        (verify.main, (bundle,)),
        (ask.main, ("When?", "--bundle", bundle, "--context", passage)),
        (answer.main, ("--bundle", bundle, "--squad", question_file, "--out", out)),
    ):
        assert call(verb, *arguments) == code
        assert said in refusal(capfd)
    assert not out.exists()


def test_answer_needs_somewhere_to_write(
    bert_qa_folder: Path, question_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for out in (tmp_path, tmp_path / "nowhere" / "predictions.json"):
        code = call(answer.main, "--bundle", bert_qa_folder, "--squad", question_file, "--out", out)
        assert code == 2
        assert "give a file in a folder that exists" in refusal(capfd)
    assert not list(tmp_path.iterdir())
