"""Checkpoint folders: the good ones load, and each kind of bad one is refused with what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForQuestionAnswering

from pipeline.models import checkpoint
from pipeline.recipe import Checkpoint
from pipeline.types import UsageError


@pytest.fixture
def folder(bert_qa_folder: Path, tmp_path: Path) -> Path:
    """A good checkpoint, the test's own to damage."""
    copied = tmp_path / "model"
    shutil.copytree(bert_qa_folder, copied)
    return copied


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_good_folder(folder: Path) -> None:
    reference = Checkpoint(source=str(folder), sha256=sha256(folder))
    assert checkpoint.resolve(reference) == folder
    assert (
        checkpoint.identity(reference) == checkpoint.identity(Checkpoint(source=str(folder))) == sha256(folder)
    )
    model = checkpoint.load_model(folder)
    assert isinstance(model, BertForQuestionAnswering)
    assert not model.training
    stored = load_file(folder / "model.safetensors")
    assert all(torch.equal(stored[name], weight) for name, weight in model.state_dict().items())


def test_weights_in_half_precision_are_widened(folder: Path) -> None:
    halves = {name: weight.half() for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    state = checkpoint.load_model(folder).state_dict()
    assert all(
        state[name].dtype == torch.float32 and torch.equal(state[name], halves[name].float()) for name in halves
    )


def test_which_checkpoints_have_a_head(
    encoder_folder: Path, bert_qa_folder: Path, distilbert_qa_folder: Path
) -> None:
    assert not checkpoint.has_head(encoder_folder)
    assert checkpoint.has_head(bert_qa_folder)
    assert checkpoint.has_head(distilbert_qa_folder)


def test_the_tokenizer_does_not_cut(folder: Path) -> None:
    tokenizer = checkpoint.load_tokenizer(folder)
    assert tokenizer.is_fast
    assert len(tokenizer("mill " * 2000)["input_ids"]) == 2002


def pickle_only(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def family(name: str) -> Callable[[Path], None]:
    return lambda folder: change_config(folder, model_type=name)


def change_config(folder: Path, **changed: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))


def size(length: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / "model.safetensors", length)


def one_byte_short(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size - 1)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "checkpoint folder .*model does not exist; check the path"),
    "no config": (lambda f: (f / "config.json").unlink(), "checkpoint folder .*model has no config.json"),
    "config cut": (lambda f: os.truncate(f / "config.json", 40), "config.json is not valid JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "config.json is not valid JSON"),
    "config not text": (
        lambda f: (f / "config.json").write_bytes(b"\xff\xfe"),
        "config.json is not valid JSON",
    ),
    "t5": (family("t5"), "holds a model of family 't5'; supported are bert, distilbert"),
    "no family": (
        lambda f: (f / "config.json").write_text("{}"),
        "holds a model of family None; supported are",
    ),
    "no weights": (
        lambda f: (f / "model.safetensors").unlink(),
        r"has no model.safetensors \(pickled weights are not loaded\)",
    ),
    "pickle only": (pickle_only, r"has no model.safetensors \(pickled weights are not loaded\); save it with"),
    "empty": (size(0), "model.safetensors is damaged or truncated; fetch it again"),
    "header cut": (size(100), "model.safetensors is damaged or truncated"),
    "half": (size(50_000), "model.safetensors is damaged or truncated"),
    "one byte short": (one_byte_short, "model.safetensors is damaged or truncated"),
    "text": (lambda f: (f / "model.safetensors").write_text("version https://"), "is damaged or truncated"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_folders(kind: str, folder: Path) -> None:
    damage, sentence = BAD[kind]
    damage(folder)
    for use in (checkpoint.resolve, checkpoint.identity):
        with pytest.raises(UsageError, match=sentence) as caught:
            use(Checkpoint(source=str(folder)))
        assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        checkpoint.resolve(Checkpoint(source=str(folder / "config.json")))


def test_other_weights_than_the_recipe_says(folder: Path) -> None:
    expected = sha256(folder)
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(
        UsageError, match=f"does not hash to the recipe's sha256 {expected[:12]}…; correct the recipe"
    ):
        checkpoint.resolve(Checkpoint(source=str(folder), sha256=expected))


def test_a_hub_model_without_network() -> None:
    reference = Checkpoint(source="nobody/no-such-model")
    assert checkpoint.identity(reference) == "hub:nobody/no-such-model@main"
    with pytest.raises(
        UsageError, match=r"'nobody/no-such-model' is neither a folder here nor .* --teacher or --student"
    ):
        checkpoint.resolve(reference)


def drop(prefix: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        kept = {name: weight for name, weight in weights.items() if not name.startswith(prefix)}
        assert len(kept) < len(weights)
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

    return change


@pytest.mark.parametrize(
    "damage", [drop("bert.encoder.layer.2."), lambda f: change_config(f, num_hidden_layers=6)]
)
def test_weights_that_lack_a_layer(damage: Callable[[Path], None], folder: Path) -> None:
    damage(folder)
    with pytest.raises(UsageError):
        checkpoint.load_model(folder)


def test_weights_of_another_size_than_the_config(folder: Path) -> None:
    change_config(folder, intermediate_size=48)
    with pytest.raises(UsageError):
        checkpoint.load_model(folder)


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink()
    with pytest.raises(UsageError, match="tokenizer"):
        checkpoint.load_tokenizer(folder)


def test_random_weights_need_only_the_config(folder: Path) -> None:
    before = checkpoint.identity(Checkpoint(source=str(folder)))
    (folder / "model.safetensors").unlink()
    reference = Checkpoint(source=str(folder), weights="random")
    assert checkpoint.resolve(reference) == folder
    first = checkpoint.identity(reference)
    assert first.startswith("random:")
    assert first != before
    change_config(folder, hidden_size=64)
    assert checkpoint.identity(reference) != first
    assert not checkpoint.has_head(folder)
    assert checkpoint.load_model(folder).state_dict()["qa_outputs.weight"].shape == (2, 64)
