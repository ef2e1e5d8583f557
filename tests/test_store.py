"""The store with small stages: keys, reuse, damage, failures, shipped results."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from device_bench import machine
from pipeline import store
from pipeline.store import Store
from pipeline.types import PipelineError, Progress, Silent

SEED = 5


@dataclass
class Write:
    """Writes its text, and counts how often it ran."""

    text: str = "hello"
    name: str = "write"
    version: int = 1
    origin: str = "f" * 64
    packages: tuple[str, ...] = ("pytest",)
    runs: list[str] = field(default_factory=list)
    after: Callable[[Path], None] = lambda out: None

    def settings(self) -> Mapping[str, Any]:
        return {"text": self.text, "nested": {"b": 1, "a": [1, 2.5, None]}}

    def parents(self) -> Mapping[str, str]:
        return {"origin": self.origin}

    def tools(self) -> tuple[str, ...]:
        return self.packages

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        self.runs.append(self.text)
        (out / "deep").mkdir()
        (out / "text.txt").write_text(self.text)
        (out / "deep" / "bytes.bin").write_bytes(bytes(range(256)))
        self.after(out)
        return {"size_bytes": 261.0}


class Heard(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


@dataclass
class Package:
    """A shipped result: a folder that a store made somewhere else."""

    folder: Path | None = None
    damaged: bool = False

    def manifest(self, key: str) -> dict[str, Any] | None:
        if self.folder is None or self.folder.name != key:
            return None
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return found

    def unpack(self, key: str, out: Path) -> None:
        assert self.folder is not None
        shutil.copytree(self.folder, out, dirs_exist_ok=True)
        (out / "manifest.json").unlink()
        if self.damaged:
            (out / "text.txt").write_text("hellO")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def opened(root: Path, **options: Any) -> Store:
    return Store(root, **{"seed": SEED, "shipped": Package(), **options})


def results(root: Path) -> list[str]:
    return sorted(os.listdir(root / "results"))


def test_keys_follow_every_input_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Write()
    key = store.key_of(stage, SEED)
    assert len(key) == 64
    assert store.key_of(replace(stage, runs=["x"], after=print), SEED) == key
    others = {
        store.key_of(replace(stage, text="other"), SEED),
        store.key_of(replace(stage, version=2), SEED),
        store.key_of(replace(stage, name="rite"), SEED),
        store.key_of(replace(stage, origin="e" * 64), SEED),
        store.key_of(replace(stage, packages=()), SEED),
        store.key_of(replace(stage, packages=("pytest", "no-such-package")), SEED),
        store.key_of(stage, SEED + 1),
    }
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.1+cpu")
    others.add(store.key_of(stage, SEED))
    assert len(others | {key}) == 9
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.1")
    assert store.key_of(stage, SEED) in others


def test_a_result_is_made_once_and_then_reused(root: Path) -> None:
    stage = Write()
    made = opened(root).make(stage, Silent())
    again = opened(root).make(stage, Silent())
    assert stage.runs == ["hello"]
    assert (made.origin, again.origin) == ("made", "reused")
    assert made == replace(again, origin="made")
    assert made.path == root / "results" / made.key
    assert made.parents == ("f" * 64,)
    assert made.metrics == {"size_bytes": 261.0}
    assert (made.path / "deep" / "bytes.bin").read_bytes() == bytes(range(256))
    assert opened(root).peek(stage) == again
    assert opened(root).peek(replace(stage, text="x")) is None
    assert os.listdir(root / "work") == []


def test_the_sha256_is_of_the_bytes_alone(root: Path) -> None:
    one, two, three = (
        opened(root).make(stage, Silent()) for stage in (Write(), Write(version=2), Write(text="hellO"))
    )
    assert one.sha256 == two.sha256 != three.sha256
    assert len({one.key, two.key, three.key}) == 3


def test_the_manifest_says_what_it_was_made_from(root: Path) -> None:
    made = opened(root).make(Write(), Silent())
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["inputs"]["seed"] == SEED
    assert manifest["inputs"]["settings"]["text"] == "hello"
    assert manifest["files"]["text.txt"] == {
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",  # sha256("hello")
        "size_bytes": 5,
    }
    assert set(manifest["made"]) == {"git", "machine", "time", "command"}
    assert manifest["made"]["machine"]["processor"] == machine.processor()
    assert str(Path.home()) not in manifest["made"]["command"]


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def altered(result: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((result / "manifest.json").read_text())
    change(manifest)
    (result / "manifest.json").write_text(json.dumps(manifest))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "one bit": (lambda r: flip(r / "deep" / "bytes.bin"), "deep/bytes.bin has changed"),
    "cut short": (lambda r: os.truncate(r / "text.txt", 2), "text.txt has changed"),
    "missing file": (lambda r: (r / "text.txt").unlink(), "text.txt is missing"),
    "extra file": (lambda r: (r / "more.txt").write_text(""), "more.txt does not belong to it"),
    "link": (lambda r: (r / "link").symlink_to("text.txt"), "is a symbolic link"),
    "no manifest": (lambda r: (r / "manifest.json").unlink(), "its manifest cannot be read"),
    "broken manifest": (lambda r: os.truncate(r / "manifest.json", 30), "its manifest cannot be read"),
    "no object": (lambda r: (r / "manifest.json").write_text("[]"), "its manifest cannot be read"),
    "other sha256": (lambda r: altered(r, lambda m: m.update(sha256="0" * 64)), "its manifest"),
    "other file hash": (
        lambda r: altered(r, lambda m: m["files"]["text.txt"].update(sha256="0" * 64)),
        "its manifest",
    ),
    "file left out": (lambda r: altered(r, lambda m: m["files"].pop("text.txt")), "its manifest"),
    "no files": (lambda r: altered(r, lambda m: m.pop("files")), "its manifest"),
    "no metrics": (lambda r: altered(r, lambda m: m.pop("metrics")), "its manifest"),
    "other metrics": (lambda r: altered(r, lambda m: m["metrics"].update(size_bytes=1.0)), "its manifest"),
    "other inputs": (lambda r: altered(r, lambda m: m["inputs"].update(seed=6)), "its manifest"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_said_and_repaired(root: Path, damage: str) -> None:
    break_it, sentence = DAMAGES[damage]
    stage, heard = Write(), Heard()
    made = opened(root).make(stage, Silent())
    break_it(made.path)
    again = opened(root).make(stage, heard)
    assert again.origin == "made"
    assert stage.runs == ["hello", "hello"]
    assert len(heard.sentences) == 1
    assert heard.sentences[0].startswith("the stored result of write is damaged (")
    assert sentence in heard.sentences[0]
    assert replace(again, seconds=made.seconds) == made
    assert opened(root).make(stage, heard).origin == "reused"


def test_fresh_makes_anew_once_per_store(root: Path) -> None:
    stage = Write()
    opened(root).make(stage, Silent())
    again = opened(root, fresh=True)
    assert again.peek(stage) is None
    assert again.make(stage, Silent()).origin == "made"
    assert again.make(stage, Silent()).origin == "reused"
    assert again.peek(stage) is not None
    assert stage.runs == ["hello", "hello"]


def test_shipped_results_are_unpacked_and_never_run(root: Path, tmp_path: Path) -> None:
    stage = Write()
    package = Package(opened(tmp_path / "elsewhere").make(stage, Silent()).path)
    here = opened(root, shipped=package)
    peeked = here.peek(stage)
    taken = here.make(stage, Silent())
    assert peeked == taken
    assert taken.origin == "shipped"
    assert (taken.path / "text.txt").read_text() == "hello"
    assert opened(root, shipped=package).make(stage, Silent()).origin == "reused"
    assert stage.runs == ["hello"]
    flip(taken.path / "text.txt")
    assert opened(root, shipped=package).make(stage, Silent()).origin == "shipped"
    assert opened(root, shipped=package, fresh=True).make(stage, Silent()).origin == "made"


def test_a_damaged_shipped_result_is_refused(root: Path, tmp_path: Path) -> None:
    stage = Write()
    folder = opened(tmp_path / "elsewhere").make(stage, Silent()).path
    with pytest.raises(PipelineError, match="shipped result of write is damaged; install the package again"):
        opened(root, shipped=Package(folder, damaged=True)).make(stage, Silent())
    assert results(root) == []
