"""One training run on transformers' Trainer: batches cut by tokens, low precision, resumable after a kill."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from pipeline.recipe import Training
from pipeline.tasks.question_answering import Window
from pipeline.types import PipelineError, Progress

Batch = dict[str, torch.Tensor]
CHECKPOINT_STEPS = 200
POOL_BATCHES = 64


class Windows(Dataset[Window]):
    """Training windows, in memory."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Window:
        return self.windows[index]


class Schedule:
    """Every batch of a whole run, fixed by the seed: windows of like length, at most so many tokens.

    Each epoch shuffles all windows, sorts pools of about 64 batches by length, cuts batches whose padded
    size stays within `tokens`, and shuffles those.
    """

    def __init__(self, lengths: Sequence[int], tokens: int, epochs: float, seed: int) -> None:
        self.batches: list[list[int]] = []
        whole = math.ceil(epochs)
        for epoch in range(whole):
            cut = self._epoch(np.asarray(lengths), tokens, np.random.default_rng([seed, epoch]))
            share = 1.0 if epoch < whole - 1 else epochs - (whole - 1)
            self.batches.extend(cut[: max(1, round(len(cut) * share))])

    @staticmethod
    def _epoch(lengths: np.ndarray, tokens: int, random: np.random.Generator) -> list[list[int]]:
        order = random.permutation(len(lengths))
        pool = max(1, int(POOL_BATCHES * tokens / max(float(lengths.mean()), 1.0)))
        cut: list[list[int]] = []
        for first in range(0, len(order), pool):
            part = order[first : first + pool]
            part = part[np.argsort(lengths[part], kind="stable")]
            batch: list[int] = []
            for index in part:
                if batch and (len(batch) + 1) * int(lengths[index]) > tokens:
                    cut.append(batch)
                    batch = []
                batch.append(int(index))
            cut.append(batch)
        return [cut[i] for i in random.permutation(len(cut))]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def collate(windows: Sequence[Window]) -> Batch:
    """Windows → ids, mask and token types (batch, seq), gold start and end positions (batch,)."""
    longest = max(len(w.ids) for w in windows)
    ids = np.zeros((len(windows), longest), np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = window.ids
        types[row, : len(window.ids)] = window.types
        mask[row, : len(window.ids)] = 1
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "token_type_ids": torch.from_numpy(types),
        "start_positions": torch.tensor([w.start for w in windows]),
        "end_positions": torch.tensor([w.end for w in windows]),
    }


class LowPrecision(torch.nn.Module):
    """Runs `inner` wholly in `dtype` while its parameters, and so the optimizer, stay in float32.

    Unlike autocast, which goes back to float32 for softmax, layer norm and residual sums, every
    activation is `dtype`, which is faster on a CPU with AMX (DECISIONS.md has the figures).
    """

    def __init__(self, inner: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner, dtype

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The inner module's outputs, computed in `dtype`."""
        if self.dtype == torch.float32:
            return self.inner(*args, **kwargs)
        cast = {name: p.to(self.dtype) for name, p in self.inner.named_parameters()}
        return torch.func.functional_call(self.inner, cast, args, kwargs)


class _Trainer(Trainer):
    """Trainer with a batch schedule and a loss given from outside."""

    def __init__(
        self,
        *args: Any,
        schedule: Schedule,
        loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.schedule, self.loss = schedule, loss

    def get_train_dataloader(self) -> DataLoader[Window]:
        loader: DataLoader[Window] = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=self.schedule,
            collate_fn=collate,
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        return self.loss(model, inputs)


class _Report(TrainerCallback):
    """Tells progress, and stops a run whose loss is not finite."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.losses: list[float] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        note = f"loss {self.losses[-1]:.3f}" if self.losses else ""
        self.progress.update(state.global_step, state.max_steps, note)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise PipelineError(
                    f"the training loss is {logs['loss']} at step {state.global_step}; "
                    "lower learning_rate in the recipe"
                )
            self.losses.append(logs["loss"])


def train(
    model: torch.nn.Module,
    loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
    windows: Sequence[Window],
    settings: Training,
    *,
    seed: int,
    work: Path,
    progress: Progress,
) -> dict[str, float]:
    """Trains `model` in place on `windows`; `loss` maps (model in its precision, batch) to a scalar.

    Checkpoints go to `work` every 200 steps and a later call goes on from the last one. Returns the steps,
    the mean loss of the last tenth, and the tokens a second (padding not counted) since this call began.
    Raises PipelineError when the loss stops being finite.
    """
    set_seed(seed)
    schedule = Schedule([len(w.ids) for w in windows], settings.tokens_per_batch, settings.epochs, seed)
    steps = max(1, len(schedule) // settings.accumulate)
    wrapped = LowPrecision(model, getattr(torch, settings.precision))
    report = _Report(progress)
    trainer = _Trainer(
        wrapped,
        TrainingArguments(
            output_dir=str(work / "checkpoints"),
            max_steps=steps,
            gradient_accumulation_steps=settings.accumulate,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=round(settings.warmup * steps),
            lr_scheduler_type="linear",
            logging_steps=max(1, min(20, steps // 10)),
            save_steps=CHECKPOINT_STEPS,
            save_total_limit=2,
            logging_nan_inf_filter=False,
            seed=seed,
            disable_tqdm=True,
            report_to=[],
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=Windows(windows),
        callbacks=[report],
        schedule=schedule,
        loss=loss,
    )
    _mute(trainer)
    last = _last_whole_checkpoint(work / "checkpoints")
    if last:
        progress.say(f"going on from {last.name}")
    began, before = time.monotonic(), _step_of(last) if last else 0
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    seen = schedule.batches[before * settings.accumulate : steps * settings.accumulate]
    tokens = sum(len(windows[index].ids) for batch in seen for index in batch)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "steps": float(steps),
        "final_loss": float(np.mean(losses[-max(1, len(losses) // 10) :])),
        "tokens_per_second": tokens / (time.monotonic() - began),
    }


def _step_of(checkpoint: Path) -> int:
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return int(state["global_step"])


def _last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose trainer_state.json, written last, can be read; others are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            whole.append((_step_of(path), path))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(path)
    return max(whole)[1] if whole else None


def _mute(trainer: Trainer) -> None:
    """Our progress bar takes the place of Trainer's printed logs."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
