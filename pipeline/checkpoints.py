"""Training checkpoints that survive a kill: one counts only once a record of all its files was renamed into it.

Trainer writes weights, optimizer, schedule, random state (one file a process) and its own state, in that order
and in place. A kill, or a machine that goes down before its disk has caught up, can leave any of them short.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipeline import distributed

WHOLE = "whole.json"
"""Name → size in bytes of every file of a checkpoint; written last, when all are on the disk."""
PREFIX = "checkpoint-"


class Keeper(TrainerCallback):
    """Marks each checkpoint whole, remembers the last, and asks for one every so many minutes."""

    def __init__(self, minutes: float | None) -> None:
        self.minutes, self.saved_at = minutes, time.monotonic()
        self.last: Path | None = None

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Only where losses are gathered anyway: whether to save is something all processes must agree on."""
        if self.minutes is not None:
            due = time.monotonic() - self.saved_at >= 60 * self.minutes
            control.should_save = distributed.agreed(due) or control.should_save

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        distributed.wait()
        assert args.output_dir is not None
        self.last = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
        if distributed.is_first():
            mark_whole(self.last)
        self.saved_at = time.monotonic()


def mark_whole(checkpoint: Path) -> None:
    """Waits until every file is on the disk, then records them by rename."""
    files = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and not path.name.endswith(WHOLE):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            files[path.relative_to(checkpoint).as_posix()] = path.stat().st_size
    partial = checkpoint / f".{WHOLE}"
    with partial.open("w", encoding="utf-8") as file:
        json.dump(files, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, checkpoint / WHOLE)


def is_whole(checkpoint: Path) -> bool:
    """Whether all the files that were recorded are there in full."""
    try:
        files = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def last_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint, the same for all processes; what is not whole is removed."""
    found = None
    if distributed.is_first():
        whole = []
        for path in folder.glob(f"{PREFIX}*"):
            step = path.name.removeprefix(PREFIX)
            if step.isdecimal() and is_whole(path):
                whole.append((int(step), path))
            else:
                shutil.rmtree(path)
        found = max(whole)[1] if whole else None
    return distributed.agreed(found)
