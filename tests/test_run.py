"""The command line from recipe to verified bundle: recipe tiny with LiteRT, made, reused, repeated, resumed."""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline import answer, ask, console, recipe, run, verify
from pipeline.report import saved
from pipeline.store import hash_tree
from pipeline.tasks import squad

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "pipeline.run", "--recipe", "tiny", "--target", "tflite")
STAGES = (
    "teach",
    "distil",
    "prune",
    "quantize",
    "evaluate teacher",
    "evaluate distilled",
    "evaluate student",
    "bench torch",
    "reference torch float32",
    "reference torch int8 weights",
    "reference torch int8",
    "export tflite",
    "lint tflite",
    "verify tflite",
    "bundle tflite",
    "bench tflite",
    "agree",
)


def call(verb: Callable[[], None], *arguments: object) -> int:
    """A verb as `python -m` runs it, in this process; its exit code. What it makes quiet is undone."""
    given, before = [verb.__module__, *map(str, arguments)], logging.root.manager.disable
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr("sys.argv", given)
        patch.setenv("COLUMNS", "500")
        try:
            return console.run(verb)
        except SystemExit as stopped:  # argparse's own refusals
            return int(stopped.code or 0)
        finally:
            logging.disable(before)


def origins(printed: str) -> dict[str, str]:
    """Stage → what happened to it, as the run prints it."""
    lines = re.findall(r"^  (\S.*?)\s{2,}(made|reused|shipped|to be made)\b", printed, flags=re.MULTILINE)
    return dict(lines)


@dataclass(frozen=True)
class Done:
    store: Path
    out: Path
    printed: str

    @property
    def bundle(self) -> Path:
        return self.out / "tflite"


@contextmanager
def captured(capture: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    capture.readouterr()
    said: list[str] = []
    yield said
    said.extend(capture.readouterr())


def make(store: Path, out: Path, *flags: str) -> int:
    return call(run.main, "--recipe", "tiny", "--target", "tflite", "--store", store, "--out", out, *flags)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """tiny for LiteRT, end to end, once for all tests here."""
    pytest.importorskip("litert_torch")
    folder = tmp_path_factory.mktemp("run")
    store, out = folder / "store", folder / "out"
    finished = subprocess.run(
        [*COMMAND, "--store", str(store), "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return Done(store, out, finished.stdout)


def test_everything_is_made_and_said(done: Done) -> None:
    made = origins(done.printed)
    assert tuple(title for title in made if not title.startswith("baseline")) == STAGES
    assert any(title.startswith("baseline") for title in made)
    assert set(made.values()) == {"made"}
    written = ["agreement.json", "report.html", "summary.json", "tflite"]
    assert sorted(path.name for path in done.out.iterdir()) == written
    agreement = json.loads((done.out / "agreement.json").read_text(encoding="utf-8"))
    students = ["torch float32", "torch int8 weights", "torch int8"]
    assert [one["name"] for one in agreement["compared"]] == [*students, "tflite"]
    assert len(agreement["pairs"]) == 6
    assert str(done.out / "tflite") in done.printed
    assert str(done.out / "report.html") in done.printed
    for who in ("teacher", "distilled", "student", "tflite"):
        assert f"│{who} " in done.printed
    summary = json.loads((done.out / "summary.json").read_text(encoding="utf-8"))
    assert summary["verdicts"][0]["target"] == "tflite"
    assert [timing["runtime"] for timing in summary["timings"]] == ["torch", "tflite"]
    assert {one["precision"] for one in summary["baselines"]} == {"int8", "float32"}
    assert saved.read(done.out).recipe_name == "tiny"
    assert recipe.load("tiny").description in (done.out / "report.html").read_text(encoding="utf-8")


def test_the_bundle_verifies(done: Done, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(verify.main, done.bundle) == 0
    out, err = capfd.readouterr()
    assert out == f"{done.bundle}: all files as in the manifest, 4 golden cases replayed: verified\n"
    assert err == ""


def test_ask_answers_with_a_span_of_the_passage(
    done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    passage = "The old mill was built in 1858 by Agnès Rennie. It stands near 東京 🗼, by the river Öre."
    (tmp_path / "passage.txt").write_text(passage, encoding="utf-8")
    code = call(ask.main, "Who built the mill?", "--bundle", done.bundle, "--context", tmp_path / "passage.txt")
    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    said, shown, figures = out.splitlines()
    assert said
    assert said in passage
    assert shown == passage
    assert re.fullmatch(r"confidence \d+% · \d+ ms on this machine · bundle tiny \(tflite\)", figures)


def test_answer_writes_the_official_layout_and_the_score(
    done: Done, squad_document: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "questions.json.gz", tmp_path / "predictions.json"
    data.write_bytes(gzip.compress(json.dumps(squad_document).encode()))
    assert call(answer.main, "--bundle", done.bundle, "--squad", data, "--out", out, "--score") == 0
    printed, said = capfd.readouterr()
    predictions = json.loads(out.read_text(encoding="utf-8"))
    questions = squad.read(str(data))
    assert set(predictions) == {question.id for question in questions}
    assert all(predictions[question.id] in question.passage for question in questions)
    scored = squad.score(questions, predictions)
    assert printed == f"EM {scored['em']:.2f}  F1 {scored['f1']:.2f}  (8 questions)\n"
    assert "8 answers by bundle tiny (tflite)" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.json", "questions.json.gz"]


def test_a_dry_run_shows_what_would_be_reused_and_writes_nothing(
    done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, out = hash_tree(done.store), tmp_path / "out"
    with captured(capfd) as said:
        assert make(done.store, out, "--dry-run") == 0
    assert set(origins(said[0]).values()) == {"reused"}
    assert origins(said[0]).keys() == origins(done.printed).keys()
    with captured(capfd) as said:
        assert make(done.store, out, "--dry-run", "--seed", "1") == 0
    planned = origins(said[0])
    assert {planned[title] for title in STAGES} == {"to be made"}
    assert not out.exists()
    assert hash_tree(done.store) == before


def test_a_dry_run_does_not_even_make_a_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with captured(capfd) as said:
        assert make(tmp_path / "store", tmp_path / "out", "--dry-run") == 0
    assert set(origins(said[0]).values()) == {"to be made"}
    assert not list(tmp_path.iterdir())


def test_a_second_run_reuses_every_stage(done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with captured(capfd) as said:
        assert make(done.store, tmp_path / "again") == 0
    assert said[1] == ""
    assert origins(said[0]) == dict.fromkeys(origins(done.printed), "reused")
    assert hash_tree(tmp_path / "again" / "tflite") == hash_tree(done.bundle)


def test_apps_get_the_bundle_and_a_dry_run_says_so(
    done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "apps", tmp_path / "again"
    flags = ("--app", "web,android", "--app-folder", str(folder))
    for app in ("android", "web"):
        (folder / app).mkdir(parents=True)
    with captured(capfd) as said:
        assert make(done.store, out, "--dry-run", *flags) == 0
    assert f"would get tflite in {folder}/web/public/model\n" in said[0]
    assert set(folder.rglob("*")) == {folder / "android", folder / "web"}
    with captured(capfd) as said:
        assert make(done.store, out, *flags) == 0
    places = {"web": "public/model", "android": "app/src/main/assets/model"}
    for app, place in places.items():
        assert re.search(rf"^app +{app} +{re.escape(str(folder / app / place))}$", said[0], re.M)
        assert re.search(rf"^next +{app} +\S", said[0], re.M)
        assert hash_tree(folder / app / place) == hash_tree(done.bundle)
        assert os.listdir(folder / app) == [Path(place).parts[0]]
    assert (out / "tflite" / "manifest.json").is_file()


def test_fresh_makes_everything_again_to_the_same_bytes(
    done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In another process than the first: the bundle does not depend on what ran before."""
    with captured(capfd) as said:
        assert make(done.store, tmp_path / "again", "--fresh") == 0
    assert set(origins(said[0]).values()) == {"made"}
    assert hash_tree(tmp_path / "again" / "tflite") == hash_tree(done.bundle)
    manifests = [folder / "tflite" / "manifest.json" for folder in (done.out, tmp_path / "again")]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()


def test_a_killed_run_goes_on_where_it_was_to_the_same_bundle(
    done: Done, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL once the first result is there; another store, so that all is made a second time."""
    store, out = tmp_path / "store", tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "--store", str(store), "--out", str(out)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(store.glob("results/*/manifest.json")):
        assert process.poll() is None, "it finished, or failed, before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    with captured(capfd) as said:
        assert make(store, out) == 0
    found = origins(said[0])
    assert found["teach"] == "reused"
    assert found["bundle tflite"] == "made"
    assert hash_tree(out / "tflite") == hash_tree(done.bundle)
    assert (out / "tflite" / "manifest.json").read_bytes() == (done.bundle / "manifest.json").read_bytes()


def test_recipes_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(run.main, "--list-recipes") == 0
    listed = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines())
    assert listed == {name: recipe.load(name).description for name in recipe.shipped_names()}


def test_a_missing_tool_is_named_with_its_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "litert_torch" else found(name, *rest)
    )
    assert make(tmp_path / "store", tmp_path / "out") == 3
    assert capfd.readouterr().err == (
        "error: target tflite needs the package litert_torch, which is not installed; "
        "run: pip install -c constraints.txt -e '.[tflite]'\n"
    )
    assert not list(tmp_path.iterdir())
