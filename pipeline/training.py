"""One training run on transformers' Trainer: batches cut by tokens, low precision, resumable after a kill."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
from pipeline.types import PipelineError, Progress

Batch = dict[str, torch.Tensor]
CHECKPOINT_STEPS = 200


class Batches(Protocol):
    """Batches of example indices, in order, the same whenever they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Any]]: ...


class _Counted:
    """Collates, and counts the tokens that are not padding."""

    def __init__(self, collate: Callable[[Sequence[Any]], Batch]) -> None:
        self.collate, self.tokens = collate, 0

    def __call__(self, examples: Sequence[Any]) -> Batch:
        batch = self.collate(examples)
        self.tokens += int(batch["attention_mask"].sum())
        return batch


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
        batches: Batches,
        loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.batches, self.loss = batches, loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
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


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What a run is trained on: examples, the batches they make up, and how a batch becomes tensors."""

    examples: Dataset[Any]
    batches: Batches
    collate: Callable[[Sequence[Any]], Batch]


def train(
    model: torch.nn.Module,
    loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
    feed: Feed,
    settings: Training,
    *,
    seed: int,
    work: Path,
    progress: Progress,
) -> dict[str, float]:
    """Trains `model` in place on `feed`; `loss` maps (model in its precision, batch) to a scalar.

    Checkpoints go to `work` every 200 steps and a later call goes on from the last one. Returns the steps,
    the mean loss of the last tenth, and the tokens a second (padding not counted) since this call began.
    Raises PipelineError when the loss stops being finite.
    """
    set_seed(seed)
    steps = max(1, len(feed.batches) // settings.accumulate)
    counted = _Counted(feed.collate)
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
        train_dataset=feed.examples,
        data_collator=counted,
        callbacks=[report],
        batches=feed.batches,
        loss=loss,
    )
    _mute(trainer)
    last = _last_whole_checkpoint(work / "checkpoints")
    if last:
        progress.say(f"going on from {last.name}")
    began = time.monotonic()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "steps": float(steps),
        "final_loss": float(np.mean(losses[-max(1, len(losses) // 10) :])),
        "tokens_per_second": counted.tokens / (time.monotonic() - began),
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
