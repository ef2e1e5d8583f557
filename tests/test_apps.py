"""A bundle is put where an app looks: whole or not at all, verified, of a target that the app runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporters import base as exporters
from pipeline import apps, bundles, recipe
from pipeline.apps import APPS, Drop
from pipeline.recipe import Classification, Task
from pipeline.store import hash_tree
from pipeline.types import PipelineError, UsageError, VerificationFailed
from tests.stages.conftest import FakeExporter, install

ROOT = Path(__file__).parents[1]
TINY = recipe.load("tiny")
TARGETS = {"coreml": "program.mlpackage/weights.bin", "tflite": "program.tflite", "executorch": "program.pte"}
PAIRS = [("ios", "coreml"), ("android", "tflite"), ("android", "executorch"), ("web", "tflite")]


def make_bundle(folder: Path, target: str = "tflite", extra: str = "", **fields: Any) -> Path:
    """A bundle that apps take; `extra` is a file that others of its kind do not have."""
    for name in (TARGETS[target], "vocab.txt", "golden.json", *([extra] if extra else [])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name} of {folder.name}")
    good = {
        "name": folder.name,
        "target": target,
        "task": "question-answering",
        "program": Path(TARGETS[target]).parts[0],
        "windows": Task().model_dump(mode="json"),
        "lengths": {"fixed": [384]},
        "metrics": {},
        "verified": True,
    }
    bundles.write_manifest(folder, {**good, **fields})
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the apps are; they have no model yet, and not even the folder above it."""
    for name in APPS:
        (tmp_path / "apps" / name).mkdir(parents=True)
        (tmp_path / "apps" / name / "code").write_text("code")
    return tmp_path / "apps"


@pytest.fixture
def drop(folder: Path) -> Drop:
    """What the Android app is to get."""
    return Drop(app="android", target="tflite", folder=folder / "android")


def contents(drop: Drop) -> dict[str, dict[str, Any]]:
    """Every file in the app's folder, which holds one that was there from the start."""
    found = hash_tree(drop.folder)
    del found["code"]
    return found


def expected(drop: Drop, source: Path) -> dict[str, dict[str, Any]]:
    """The same, where the bundle in `source` and nothing else was put."""
    shutil.copytree(source, source.with_name("expected") / APPS[drop.app].place)
    return hash_tree(source.with_name("expected"))


def plan(named: str, targets: str, folder: Path, of: recipe.Recipe = TINY) -> tuple[Drop, ...]:
    return apps.planned(named, [exporters.find(target) for target in targets.split(",")], of, folder)


@pytest.mark.parametrize(("app", "target"), PAIRS)
def test_an_app_gets_its_bundle_unchanged(app: str, target: str, folder: Path, tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "bundle", target)
    (drop,) = plan(app, target, folder)
    assert (drop.app, drop.target) == (app, target)
    apps.put(drop, source)
    assert bundles.read(drop.place, "question-answering").target == target
    assert contents(drop) == expected(drop, source)


def test_each_app_gets_the_target_that_it_can_use(folder: Path) -> None:
    planned = plan("web,ios,web,android", "onnx,coreml,tflite", folder)
    assert [(drop.app, drop.target) for drop in planned] == [
        ("web", "tflite"),
        ("ios", "coreml"),
        ("android", "tflite"),
    ]
    assert str(planned[2].place) == f"{folder}/android/app/src/main/assets/model"
    assert not planned[2].place.parent.exists()


@pytest.mark.parametrize(
    ("app", "target", "said"),
    [
        ("ios", "tflite", "app ios takes target coreml, not tflite: give it with --target"),
        ("android", "coreml,onnx", "app android takes target tflite or executorch, not coreml,onnx: give it"),
        ("ios,web", "coreml", "app web takes target tflite, not coreml: give it with --target"),
        (
            "android",
            "tflite,coreml,executorch",
            "and --target names tflite and executorch: leave all but one out",
        ),
        ("windows", "tflite", "unknown app 'windows'; apps are ios, android, web"),
        ("", "tflite", "unknown app ''"),
        ("web,", "tflite", "unknown app ''"),
    ],
)
def test_what_does_not_fit_is_refused(app: str, target: str, said: str, folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        plan(app, target, folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sst2", "stsb"])
def test_apps_ask_questions_only(name: str, folder: Path) -> None:
    other = recipe.load(name)
    with pytest.raises(
        UsageError, match=f'its task is "{other.task.kind}", and "question-answering" is wanted'
    ):
        plan("web", "tflite", folder, other)


def test_a_target_that_cannot_be_run_here_is_refused_before_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = FakeExporter()
    exporter.not_run = "only a Mac runs it"
    install(monkeypatch, exporter)
    monkeypatch.setitem(APPS, "ios", apps.App(targets=("fake",), place="model", then=""))
    with pytest.raises(UsageError, match="ios takes verified bundles, and fake cannot be run here: only"):
        apps.planned("ios", [exporter], TINY, folder)


def test_without_the_apps_the_flag_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*/web; run from a clone .* --app-folder"):
        plan("web", "tflite", tmp_path)


def test_another_model_takes_the_place(drop: Drop, tmp_path: Path) -> None:
    first = make_bundle(tmp_path / "first", extra="only/here.txt")
    second = make_bundle(tmp_path / "second", "executorch")
    apps.put(drop, first)
    executorch = Drop(app=drop.app, target="executorch", folder=drop.folder)
    apps.put(executorch, second)
    assert contents(drop) == expected(drop, second)


def test_a_file_system_that_cannot_exchange_names(
    drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps.put(drop, make_bundle(tmp_path / "first", extra="only-here"))
    second = make_bundle(tmp_path / "second")
    monkeypatch.setattr(apps, "_exchanged", lambda one, other: False)
    apps.put(drop, second)
    assert contents(drop) == expected(drop, second)


def test_names_are_exchanged_in_one_step(tmp_path: Path) -> None:
    """Were it two, there would be a moment with no bundle at all."""
    for name in ("one", "other"):
        (tmp_path / name / name).mkdir(parents=True)
    assert apps._exchanged(tmp_path / "one", tmp_path / "other")
    assert (os.listdir(tmp_path / "one"), os.listdir(tmp_path / "other")) == (["other"], ["one"])
    assert not apps._exchanged(tmp_path / "one", tmp_path / "nowhere")


def altered(source: Path) -> None:
    (source / "vocab.txt").write_text("other")


def lacking(source: Path) -> None:
    (source / "golden.json").unlink()


@pytest.mark.parametrize(
    ("fields", "spoil", "kind", "said"),
    [
        ({"verified": False, "why_not_verified": "no Mac"}, None, UsageError, "and this one was not: no Mac"),
        ({"verified": False}, None, UsageError, "was not: its manifest does not say why"),
        ({}, altered, VerificationFailed, "vocab.txt was altered; make the bundle again"),
        ({}, lacking, VerificationFailed, "golden.json is missing; make the bundle again"),
        (
            {
                "task": "text-classification",
                "windows": Classification(
                    kind="text-classification", labels=("no", "yes"), metrics=("accuracy",)
                ).model_dump(mode="json"),
            },
            None,
            UsageError,
            'its task is "text-classification", and "question-answering" is wanted',
        ),
    ],
)
def test_what_is_no_good_bundle_is_not_put(
    fields: dict[str, Any], spoil: Any, kind: type[PipelineError], said: str, drop: Drop, tmp_path: Path
) -> None:
    old, bad = make_bundle(tmp_path / "old"), make_bundle(tmp_path / "bad", **fields)
    apps.put(drop, old)
    if spoil:
        spoil(bad)
    with pytest.raises(kind) as caught:
        apps.put(drop, bad)
    assert said in str(caught.value)
    assert contents(drop) == expected(drop, old)


def test_a_link_or_file_in_the_place_stays(drop: Drop, folder: Path, tmp_path: Path) -> None:
    source, mine = make_bundle(tmp_path / "bundle"), tmp_path / "mine"
    (mine / "inner").mkdir(parents=True)
    drop.place.parent.mkdir(parents=True)
    drop.place.symlink_to(mine)
    for refuse in (lambda: apps.put(drop, source), lambda: plan("android", "tflite", folder)):
        with pytest.raises(UsageError, match=r"assets/model is a symbolic link, .* remove it"):
            refuse()
    assert drop.place.is_symlink()
    assert os.listdir(mine) == ["inner"]
    drop.place.unlink()
    drop.place.write_text("mine")
    with pytest.raises(UsageError, match=r"assets/model is a file, .* remove it"):
        plan("android", "tflite", folder)
    with pytest.raises(UsageError, match="is a file"):
        apps.put(drop, source)
    assert drop.place.read_text() == "mine"


def test_what_is_no_bundle_stays(drop: Drop, folder: Path) -> None:
    drop.place.mkdir(parents=True)
    assert plan("android", "tflite", folder) == (drop,)
    (drop.place / "weights.bin").write_text("mine")
    with pytest.raises(UsageError, match=r"assets/model holds something that is no bundle, .* move it away"):
        plan("android", "tflite", folder)
    assert (drop.place / "weights.bin").read_text() == "mine"


def test_what_cannot_be_copied_is_one_sentence(drop: Drop, tmp_path: Path) -> None:
    old, bad = make_bundle(tmp_path / "old"), make_bundle(tmp_path / "bad")
    apps.put(drop, old)
    (bad / "vocab.txt").unlink()
    os.mkfifo(bad / "vocab.txt")
    with pytest.raises(PipelineError, match=r"^app android has no new bundle in .*: .* is a named pipe$"):
        apps.put(drop, bad)
    assert contents(drop) == expected(drop, old)


READ_ONLY = """
set -e
mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"
exec "$2" -m pipeline.run --recipe tiny --target tflite --store "$3/store" --out "$3/out" \
    --app android --app-folder "$1"
"""


def test_a_read_only_folder_is_refused_before_any_stage(folder: Path, tmp_path: Path) -> None:
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    ran = subprocess.run(
        ["unshare", "--mount", *root, "sh", "-c", READ_ONLY, "sh", folder, sys.executable, tmp_path / "made"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    where = folder / "android"
    assert ran.stderr == f"error: app android cannot be given a bundle: {where} cannot be written\n"
    assert ran.returncode == 2
    assert not (tmp_path / "made").exists()


PROCESS = """
import os, signal, sys, time
from pathlib import Path
from pipeline import apps

folder, source, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def stop(function):
    def stopped(*given, **named):
        print("ready", flush=True)
        if mode == "wait":
            while not (source.parent / "go").exists(): time.sleep(0.02)
        else:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)
    return stopped

swap = apps._swap
def swapped(*given):
    swap(*given)
    stop(lambda: None)()

if mode == "copying": apps.shutil.copystat = stop(apps.shutil.copystat)
if mode in ("checking", "wait"): apps.bundles.read = stop(apps.bundles.read)
if mode == "swapping": apps._swap = stop(apps._swap)
if mode == "swapped": apps._swap = swapped
apps.put(apps.Drop(app="android", target="tflite", folder=folder), source)
"""


def start(drop: Drop, source: Path, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(drop.folder), str(source), mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("mode", "there"), [("copying", "old"), ("checking", "old"), ("swapping", "old"), ("swapped", "new")]
)
def test_a_kill_leaves_a_whole_bundle_and_the_next_drop_cleans_up(
    mode: str, there: str, drop: Drop, tmp_path: Path
) -> None:
    sources = {name: make_bundle(tmp_path / name) for name in ("old", "new")}
    apps.put(drop, sources["old"])
    killed = start(drop, sources["new"], mode)
    assert killed.communicate(timeout=60)[0] == "ready\n"
    assert killed.returncode == -signal.SIGKILL
    assert hash_tree(drop.place) == hash_tree(sources[there])
    assert bundles.read(drop.place).name == there
    apps.put(drop, sources["new"])
    assert contents(drop) == expected(drop, sources["new"])


def test_two_at_once_take_turns(drop: Drop, tmp_path: Path) -> None:
    first, second = (make_bundle(tmp_path / name, extra=f"{name}.txt") for name in ("first", "second"))
    one = start(drop, first, "wait")
    assert one.stdout is not None
    assert one.stdout.readline() == "ready\n"
    other = start(drop, second, "go")
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(timeout=1.5)
    assert not drop.place.exists()
    (tmp_path / "go").touch()
    assert (one.wait(timeout=60), other.wait(timeout=60)) == (0, 0)
    assert contents(drop) == expected(drop, second)


def test_git_and_make_know_the_places() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    cleaned = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nclean:\n")[2].partition("\n\n")[0]
    for name, app in APPS.items():
        assert f"/apps/{name}/{app.place}/" in ignored
        assert f"apps/{name}/{app.place}" in cleaned
    assert f"/apps/*/{apps.FRESH}/" in ignored
