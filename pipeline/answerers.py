"""Opens whatever a verb was given, a bundle or a checkpoint folder, as one thing that answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from pipeline import bundles
from pipeline.models import checkpoint
from pipeline.models.answerer import load_checkpoint
from pipeline.models.student import CONFIG
from pipeline.recipe import Task
from pipeline.store import MANIFEST
from pipeline.types import Answerer, UsageError


@dataclass(frozen=True, slots=True)
class Opened:
    """A model ready to answer, with the tokenizer and window settings that belong to it."""

    model: Answerer
    tokenizer: PreTrainedTokenizerBase
    task: Task
    description: str


def open_model(folder: Path, threads: int = 1) -> Opened:
    """A checked bundle run by its own runtime, or a checkpoint folder run by torch."""
    if (folder / "config.json").is_file() or (folder / CONFIG).is_file():
        model, tokenizer = load_checkpoint(folder)
        return Opened(model, tokenizer, Task(), f"checkpoint {folder} in torch")
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} is neither a bundle (no {MANIFEST}) nor a checkpoint (no config.json)")
    bundle = bundles.read(folder)
    runner = bundle.runner(threads)
    how = f"{bundle.target}, evaluated op by op" if runner.emulated else bundle.target
    return Opened(runner, checkpoint.load_tokenizer(folder), bundle.task, f"bundle {bundle.name} ({how})")
