"""Finding and reading checkpoints: folders and hub ids, safetensors only, BERT and DistilBERT families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.recipe import Checkpoint, StudentShape
from pipeline.store import sha256_file
from pipeline.types import UsageError

FAMILIES = ("bert", "distilbert")
WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"]
HEAD = "qa_outputs.weight"


def identity(reference: Checkpoint | StudentShape) -> str:
    """What stands for a checkpoint in a key: its weights' sha256, or its hub name when that is not known."""
    assert reference.source is not None
    if reference.sha256:
        return reference.sha256
    if is_local(reference.source):
        return sha256_file(check_folder(Path(reference.source)) / WEIGHTS)
    return f"hub:{reference.source}@{reference.revision or 'main'}"


def is_local(source: str) -> bool:
    """Whether a source is meant as a folder here."""
    return Path(source).exists() or source.startswith(("/", ".", "~"))


def resolve(reference: Checkpoint | StudentShape) -> Path:
    """The folder of a checkpoint, fetched from the hub when it is not a local one.

    Raises UsageError when it is not there, cannot be fetched, or its weights hash to something else.
    """
    source = str(reference.source)
    if is_local(source):
        folder = check_folder(Path(source))
    else:
        folder = check_folder(_fetch(source, reference.revision))
    if reference.sha256 and sha256_file(folder / WEIGHTS) != reference.sha256:
        raise UsageError(
            f"{source}/{WEIGHTS} does not hash to the recipe's sha256 {reference.sha256[:12]}…; "
            "correct the recipe or give the right checkpoint"
        )
    return folder


def _fetch(source: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                source, revision=revision, allow_patterns=["config.json", WEIGHTS, *TOKENIZER_FILES]
            )
        )
    except Exception as error:  # the hub client raises many kinds; each means the same to the user
        raise UsageError(
            f"model {source!r} is neither a folder here nor to be had from the Hugging Face hub "
            f"({type(error).__name__}); give a local checkpoint folder with --teacher or --student"
        ) from None


def check_folder(folder: Path) -> Path:
    """The folder itself, once it holds a config of a supported family and whole safetensors weights."""
    if not folder.is_dir():
        raise UsageError(f"checkpoint folder {folder} does not exist; check the path")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        family = config.get("model_type")
    except OSError:
        raise UsageError(f"checkpoint folder {folder} has no config.json") from None
    except (ValueError, AttributeError):
        raise UsageError(f"{folder}/config.json is not valid JSON") from None
    if family not in FAMILIES:
        raise UsageError(
            f"{folder} holds a model of family {family!r}; supported are {', '.join(FAMILIES)}"
        )
    if not (folder / WEIGHTS).is_file():
        raise UsageError(
            f"checkpoint folder {folder} has no {WEIGHTS} (pickled weights are not loaded); "
            "save it with safe_serialization=True"
        )
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as file:
            file.keys()
    except (SafetensorError, OSError):
        raise UsageError(f"{folder}/{WEIGHTS} is damaged or truncated; fetch it again") from None
    return folder


def has_head(folder: Path) -> bool:
    """Whether a checkpoint already has a question-answering head."""
    with safe_open(str(folder / WEIGHTS), "pt") as file:
        return HEAD in file.keys()  # noqa: SIM118  (a safe_open handle is no mapping)


def load_model(folder: Path, **config: Any) -> PreTrainedModel:
    """A question-answering model in float32, its head random when the checkpoint has none."""
    settings = AutoConfig.from_pretrained(folder, **config)
    model: PreTrainedModel = AutoModelForQuestionAnswering.from_pretrained(
        folder,
        config=settings,
        dtype=torch.float32,
        attn_implementation="sdpa" if torch.cuda.is_available() else "eager",
        use_safetensors=True,
    )
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a checkpoint or bundle folder, without the truncation saved in it."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, use_fast=True)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} has no usable tokenizer: {str(error).splitlines()[0]}") from None
    if not tokenizer.is_fast:
        raise UsageError(f"{folder} has no tokenizer.json (a fast tokenizer is needed)")
    tokenizer.model_max_length = 10**9  # windows cut the passage; no warning about its whole length
    return tokenizer
