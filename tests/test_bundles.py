"""Bundles: nothing can be changed, left out or added unnoticed, and golden cases tell programs apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pipeline import bundles, golden
from pipeline.models import checkpoint
from pipeline.recipe import Task
from pipeline.store import SEAL, seal
from pipeline.tasks.methods import methods_of
from pipeline.types import PipelineError, UsageError, VerificationFailed
from tests.stages.conftest import FakeExporter, install, make_chain

PROGRAM = "small_qa_seq96_int8_fake.fake"
FILES = (
    "README.md",
    "golden.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    f"{PROGRAM}/model.safetensors",
    f"{PROGRAM}/student.json",
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, question_file: Path) -> Path:
    """A bundle as stage bundle made it."""
    chain = make_chain(tmp_path_factory.mktemp("bundles"), encoder_folder, question_file)
    return chain.made["bundle"].path / "bundle"


@pytest.fixture
def bundle(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, the test's own to spoil; `fake` is a target."""
    install(monkeypatch, FakeExporter())
    return shutil.copytree(original, tmp_path / "bundle")


DAMAGED = (
    b'{"format": 1, "format": 1, "task": "regression", "files": {}}',
    b'{"format": 1, "task": "\\ud800", "files": {}}',
    b"[" * 100_000,
)
"""A key twice, half a character, and deeper than any reader goes."""


def refused(folder: Path, kind: type[PipelineError] | tuple[type[PipelineError], ...]) -> str:
    """Why a bundle is not read; one sentence, and one of these errors."""
    with pytest.raises(kind) as caught:
        bundles.read(folder)
    said = str(caught.value)
    assert said
    assert "\n" not in said
    return said


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest and seals it again, as somebody who knows how would."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    change(manifest)
    manifest[SEAL] = seal(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
    file.write_text(text, encoding="utf-8")


def test_a_good_bundle_is_read(bundle: Path) -> None:
    read = bundles.read(bundle)
    assert (read.name, read.target, read.path) == ("small", "fake", bundle)
    assert read.program == bundle / PROGRAM
    assert read.task == Task(max_length=96, stride=16)
    assert read.metrics["questions"] == 5
    assert read.runner().lengths[-1] == 128
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == set(FILES)
    assert manifest["lengths"] == {"shortest": 1, "longest": 128}


def test_it_says_what_its_program_is(bundle: Path) -> None:
    """Held against the weights that are in the program, pruned as they are."""
    read, weights = bundles.read(bundle), load_file(str(bundle / PROGRAM / "model.safetensors"))
    assert (read.precision, read.random_weights) == ("int8", False)
    assert read.parameters == sum(weight.numel() for weight in weights.values())
    linears = [weight for name, weight in weights.items() if weight.dim() == 2 and "embeddings" not in name]
    queries = [weight for name, weight in weights.items() if name.endswith("query.weight")]
    assert read.multiply_adds == bundles.MultiplyAdds(
        per_token=sum(weight.numel() for weight in linears),
        per_pair=2 * sum(len(weight) for weight in queries),
    )
    assert "random_weights" not in json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))


def test_older_bundles_say_less(bundle: Path) -> None:
    rewrite(bundle, lambda m: [m.pop(key) for key in ("precision", "parameters", "multiply_adds")])
    read = bundles.read(bundle)
    assert (read.precision, read.random_weights, read.parameters, read.multiply_adds) == (
        None,
        False,
        None,
        None,
    )


@pytest.mark.parametrize("name", FILES)
def test_every_altered_byte_of_a_file_is_noticed(name: str, bundle: Path) -> None:
    file = bundle / name
    content = file.read_bytes()
    for place in (0, len(content) // 2, len(content) - 1):
        altered = bytearray(content)
        altered[place] ^= 1
        file.write_bytes(altered)
        assert f"{name} was altered" in refused(bundle, VerificationFailed)
    for changed in (content + b"\n", content[:-1], b""):
        file.write_bytes(changed)
        assert f"{name} was altered" in refused(bundle, VerificationFailed)
    file.write_bytes(content)
    bundles.read(bundle)


def test_every_altered_byte_of_the_manifest_is_noticed(bundle: Path) -> None:
    """A metric's digit, a hash, a space: all of them, though no hash in the manifest can cover it."""
    file = bundle / "manifest.json"
    content = file.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 if place % 2 else 4
        file.write_bytes(altered)
        refused(bundle, (UsageError, VerificationFailed))
    for changed in (content + b"\n", content[:-1], content.replace(b'"em"', b'"em" ', 1)):
        file.write_bytes(changed)
        refused(bundle, VerificationFailed)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_noticed(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    assert f"{name} is missing; make the bundle again" in refused(bundle, VerificationFailed)


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", f"{PROGRAM}/extra.bin", f"{PROGRAM}/manifest.json"])
def test_an_extra_file_is_noticed(name: str, bundle: Path) -> None:
    (bundle / name).write_text("")
    assert f"{name} is not in its manifest; remove it" in refused(bundle, VerificationFailed)


@pytest.mark.parametrize("target", ["golden.json", "/etc/hostname", "nowhere", "."])
def test_a_symbolic_link_is_noticed(target: str, bundle: Path) -> None:
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to(target)
    assert "README.md is a symbolic link" in refused(bundle, VerificationFailed)


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x", "..", "", "a\\..\\x"])
@pytest.mark.parametrize("where", ["files", "program"])
def test_names_that_leave_the_folder_are_refused(where: str, name: str, bundle: Path) -> None:
    (bundle.parent / "x").write_text("outside")

    def change(manifest: dict[str, Any]) -> None:
        if where == "program":
            manifest["program"] = name
        else:
            manifest["files"][name] = manifest["files"]["README.md"]

    rewrite(bundle, change)
    assert f"names {json.dumps(name)}, which is outside of the bundle" in refused(bundle, VerificationFailed)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (
            {"format": 2},
            UsageError,
            "it has format 2, newer than the 1 this software reads; update the software",
        ),
        ({"format": "1"}, VerificationFailed, "manifest.json is damaged"),
        ({"format": 0}, VerificationFailed, "manifest.json is damaged"),
        ({"format": True}, VerificationFailed, "manifest.json is damaged"),
        ({"task": "translation"}, UsageError, 'its task is "translation", not one of question-answering, text'),
        ({"files": []}, VerificationFailed, "was altered"),
        ({"files": {"README.md": "hash"}}, VerificationFailed, "was altered"),
        ({"program": "nothing.fake"}, VerificationFailed, "its program is missing; make the bundle again"),
        ({"program": 3}, UsageError, "lacks a field that a bundle needs"),
        ({"windows": {"max_length": 4}}, UsageError, "lacks a field that a bundle needs"),
        ({"windows": None}, UsageError, "lacks a field that a bundle needs"),
        ({"lengths": {"fixed": [128, "192"]}}, UsageError, "lacks a field that a bundle needs"),
        ({"lengths": {"fixed": []}}, UsageError, "lacks a field that a bundle needs"),
        ({"lengths": {"shortest": 5, "longest": 3}}, UsageError, "lacks a field that a bundle needs"),
    ],
)
def test_a_manifest_that_says_something_else(
    change: dict[str, Any], kind: type[PipelineError], said: str, bundle: Path
) -> None:
    rewrite(bundle, lambda manifest: manifest.update(change))
    assert said in refused(bundle, kind)


@pytest.mark.parametrize("field", ["name", "target", "program", "windows", "metrics"])
def test_a_manifest_without_a_field(field: str, bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest.pop(field))
    assert "lacks a field that a bundle needs" in refused(bundle, UsageError)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b'{"format": 1}', *DAMAGED])
def test_a_damaged_manifest(content: bytes, bundle: Path) -> None:
    (bundle / "manifest.json").write_bytes(content)
    assert "manifest.json is damaged; make the bundle again" in refused(bundle, VerificationFailed)


@pytest.mark.parametrize(
    "change", [{"max_length": "96"}, {"max_length": 96.0}, {"n_best": True}, {"n_best": 0}, {"temperature": 1}]
)
def test_window_settings_are_taken_to_the_letter(change: dict[str, Any], bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest["windows"].update(change))
    assert "lacks a field that a bundle needs" in refused(bundle, UsageError)


@pytest.mark.parametrize("setting", ["kind", "max_length", "stride", "n_best", "max_answer_length"])
def test_no_window_setting_has_a_default(setting: str, bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest["windows"].pop(setting))
    assert "lacks a field that a bundle needs" in refused(bundle, UsageError)


def test_another_task_than_the_wanted_is_refused(bundle: Path) -> None:
    assert bundles.read(bundle, "question-answering").task == Task(max_length=96, stride=16)
    with pytest.raises(UsageError, match=r'its task is "question-answering", and "regression" is wanted$'):
        bundles.read(bundle, "regression")


def test_what_is_no_bundle(tmp_path: Path) -> None:
    assert "it has no manifest.json, so it is not a bundle" in refused(tmp_path, UsageError)
    assert "does not exist; make one with python -m pipeline.run" in refused(tmp_path / "none", UsageError)
    (tmp_path / "file").write_text("")
    assert "does not exist" in refused(tmp_path / "file", UsageError)


def test_an_unknown_target_has_no_runner(bundle: Path) -> None:
    rewrite(bundle, lambda manifest: manifest.update(target="openvino"))
    read = bundles.read(bundle)
    with pytest.raises(UsageError, match="unknown target 'openvino'"):
        read.runner()


def replay(folder: Path) -> int:
    read = bundles.read(folder)
    tokenizer = checkpoint.load_tokenizer(folder)
    return golden.replay(folder / bundles.GOLDEN, read.runner(), tokenizer, methods_of(read.task))


def test_golden_cases_replay(bundle: Path) -> None:
    assert replay(bundle) == 3


def seal_again(folder: Path) -> None:
    """The manifest written anew over whatever the files are now."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    fields = {k: v for k, v in manifest.items() if k not in ("format", "files", SEAL)}
    (folder / "manifest.json").unlink()
    bundles.write_manifest(folder, fields)


def test_writing_the_manifest_again_gives_the_same_bytes(bundle: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    seal_again(bundle)
    assert (bundle / "manifest.json").read_bytes() == before


def test_another_program_is_told_by_its_first_golden_case(bundle: Path) -> None:
    """Every hash fits, and yet the weights are not those that the cases were recorded with."""
    file = bundle / PROGRAM / "model.safetensors"
    weights = load_file(str(file))
    weights["layers.0.feed_forward.outer.weight"] = -weights["layers.0.feed_forward.outer.weight"]
    save_file(weights, str(file))
    seal_again(bundle)
    with pytest.raises(VerificationFailed, match=r"^golden case q00: (start|end)_logits are off \(SQNR .* dB"):
        replay(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda case: case["windows"][0]["input_ids"].append(3), "the tokenizer gives other ids than recorded"),
        (lambda case: case["windows"].pop(), "the tokenizer gives other ids than recorded"),
        (lambda case: case["answer"].update(text="other"), "recorded was 'other'"),
        (lambda case: case["windows"][0].update(end_logits=[0.5] * 4), "end_logits are off"),
    ],
)
def test_a_changed_golden_case_is_named(change: Callable[[Any], object], said: str, bundle: Path) -> None:
    file = bundle / bundles.GOLDEN
    record = json.loads(file.read_text(encoding="utf-8"))
    change(record["cases"][1])
    file.write_text(json.dumps(record), encoding="utf-8")
    seal_again(bundle)
    with pytest.raises(VerificationFailed) as caught:
        replay(bundle)
    assert str(caught.value).startswith(f"golden case {record['cases'][1]['id']}: ")
    assert said in str(caught.value)
