"""Finding and reading checkpoints: folders and hub ids, safetensors only, BERT and DistilBERT families."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from pipeline.models.student import Head
from pipeline.recipe import Checkpoint, StudentShape
from pipeline.store import sha256_file
from pipeline.types import UsageError

SHIPPED = Path(__file__).parents[1] / "pretrained"
FAMILIES = ("bert", "distilbert")
SUPPORTED = f"{', '.join(FAMILIES)} (question answering, classification, regression)"
WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"]
HEADS: Mapping[Head, tuple[str, ...]] = {
    "question-answering": ("qa_outputs.",),
    "text-classification": ("classifier.", "pre_classifier.", "bert.pooler."),
}
"""A task's head → its weights' beginnings, the first of which tells it."""
VOCABULARY_HEADS = ("cls.predictions.transform.dense.weight", "vocab_transform.weight")


def identity(reference: Checkpoint | StudentShape) -> str:
    """What stands for a checkpoint in a key: its weights' sha256, or its hub name when that is not known."""
    source = str(reference.source)
    if reference.sha256:
        return reference.sha256
    folder = locate(source)
    if folder is None:
        return f"hub:{source}@{reference.revision or 'main'}"
    if is_random(reference):
        return f"random:{sha256_file(check_config(folder) / 'config.json')}"
    return sha256_file(check_folder(folder) / WEIGHTS)


def is_random(reference: Checkpoint | StudentShape) -> bool:
    """Whether only the shapes of a checkpoint are used, its weights drawn at random."""
    return isinstance(reference, Checkpoint) and reference.weights == "random"


def locate(source: str) -> Path | None:
    """The folder behind a source: a shipped name's or a local path's; None when it names a hub model."""
    shipped = SHIPPED / source
    if re.fullmatch(r"[a-z0-9-]+", source) and shipped.is_dir():
        return shipped
    path = Path(source).expanduser()
    return path if path.exists() or source.startswith(("/", ".", "~")) else None


def check(reference: Checkpoint | StudentShape, max_length: int) -> None:
    """Refuses a checkpoint that is here but cannot be used, before anything is spent on it.

    Raises UsageError when it is damaged, of another family, or has fewer positions than `max_length`.
    """
    folder = locate(reference.source) if reference.source else None
    if folder is None:
        return
    (check_config if is_random(reference) else check_folder)(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    positions = config.get("max_position_embeddings", 512)
    if max_length > positions:
        raise UsageError(
            f"task.max_length is {max_length}, but {reference.source} has only {positions} positions; lower it"
        )


def resolve(reference: Checkpoint | StudentShape) -> Path:
    """The folder of a checkpoint, fetched from the hub when it is not a local one.

    Raises UsageError when it is not there, cannot be fetched, or its weights hash to something else.
    """
    source = str(reference.source)
    folder = locate(source) or _fetch(source, reference.revision)
    if is_random(reference):
        return check_config(folder)
    check_folder(folder)
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
            f"({type(error).__name__}); give a local checkpoint folder, to a run with --teacher or --student"
        ) from None


def check_config(folder: Path) -> Path:
    """The folder itself, once it holds a config of a supported family."""
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
        raise UsageError(f"{folder} holds a model of family {family!r}; supported are {SUPPORTED}")
    return folder


def check_folder(folder: Path) -> Path:
    """The folder itself, once it holds a config of a supported family and whole safetensors weights."""
    check_config(folder)
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


def has_head(folder: Path, head: Head = "question-answering") -> bool:
    """Whether a checkpoint already has a task's head."""
    if not (folder / WEIGHTS).is_file():
        return False
    with safe_open(str(folder / WEIGHTS), "pt") as file:
        found = f"{HEADS[head][0]}weight" in file.keys()  # noqa: SIM118  (a safe_open handle is no mapping)
    if head == "question-answering" or not found:
        return found
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # Heads that classify tokens or choices call their weights the same.
    return all("ForSequenceClassification" in name for name in config.get("architectures") or [])


def has_vocabulary_head(folder: Path) -> bool:
    """Whether a checkpoint can score masked words; one without weights gets a random head."""
    if not (folder / WEIGHTS).is_file():
        return True
    with safe_open(str(folder / WEIGHTS), "pt") as file:
        return not set(VOCABULARY_HEADS).isdisjoint(file.keys())


def load_model(
    folder: Path, head: Head = "question-answering", labels: int | None = None, *, whole: bool = False
) -> PreTrainedModel:
    """A model with a task's head in float32; what of the head the folder has no weights for is random.

    `labels`: the width of a classification head; the folder's own when None. `whole`: nothing may be random.
    Raises UsageError when the folder's head is of another width, or `whole` and incomplete.
    """
    may_lack = () if whole else HEADS[head]
    if head == "question-answering":
        return _load(folder, AutoModelForQuestionAnswering, may_lack)
    if labels is not None and has_head(folder, head):
        theirs = AutoConfig.from_pretrained(folder).num_labels
        if theirs != labels:
            raise UsageError(
                f"{folder} has a head for {theirs} labels, the task has {labels}; name those it knows"
            )
    return _load(folder, AutoModelForSequenceClassification, may_lack, labels)


def load_general(folder: Path) -> PreTrainedModel:
    """A masked-language model in float32, or the bare encoder where the folder has no head for it."""
    if not has_vocabulary_head(folder):
        return _load(folder, AutoModel, ("pooler.",))
    return _load(folder, AutoModelForMaskedLM, ())


def _load(folder: Path, family: Any, may_lack: tuple[str, ...], labels: int | None = None) -> PreTrainedModel:
    settings = AutoConfig.from_pretrained(folder, **({} if labels is None else {"num_labels": labels}))
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    model: PreTrainedModel
    if not (folder / WEIGHTS).is_file():
        model = family.from_config(settings, dtype=torch.float32, attn_implementation=attention)
        return model
    logging.set_verbosity_error()  # the head that an encoder lacks is no news here
    logging.disable_progress_bar()
    try:
        model, found = family.from_pretrained(
            folder,
            config=settings,
            dtype=torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
            output_loading_info=True,
        )
    except RuntimeError:
        raise UsageError(f"{folder}/{WEIGHTS} has weights of other shapes than its config.json says") from None
    lacking = sorted(n for n in found["missing_keys"] if not n.startswith(may_lack))
    if lacking:
        raise UsageError(f"{folder}/{WEIGHTS} lacks {lacking[0]} and {len(lacking) - 1} more; fetch it again")
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a checkpoint or bundle folder, without the truncation saved in it."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise UsageError(f"{folder} has no tokenizer (tokenizer.json or vocab.txt)")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, use_fast=True)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} has no usable tokenizer: {str(error).splitlines()[0]}") from None
    if not tokenizer.is_fast:
        raise UsageError(f"{folder} has no tokenizer.json (a fast tokenizer is needed)")
    tokenizer.model_max_length = 10**9  # windows cut the passage; no warning about its whole length
    return tokenizer


def tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """Those of a folder's files that are the tokenizer."""
    return tuple(folder / name for name in TOKENIZER_FILES if (folder / name).is_file())


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and vocab.txt (one token a line, line number = id)."""
    tokenizer.save_pretrained(folder)
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in by_id), encoding="utf-8")
