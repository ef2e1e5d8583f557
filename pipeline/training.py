"""One training run on transformers' Trainer: batches cut by tokens, low precision, resumable after a kill.

The same run under torchrun gives the same result: `tokens_per_batch × accumulate` is one step's batch whatever
the number of processes, each of which takes its share of a step's `accumulate` micro-batches.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate.utils import DistributedType, parse_flag_from_env
from accelerate.utils import set_seed as set_seed_of_process
from torch.utils.data import DataLoader, Dataset
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from pipeline import distributed
from pipeline.checkpoints import Keeper, last_whole
from pipeline.console import seconds
from pipeline.models import recompute
from pipeline.recipe import Launch, Training
from pipeline.rehearsal import Rehearsal
from pipeline.store import HISTORY
from pipeline.types import MissingTool, PipelineError, Progress, UsageError

Batch = dict[str, torch.Tensor]
Loss = Callable[[torch.nn.Module, Batch], torch.Tensor]
CHECKPOINTS = "checkpoints"
NUMBERS = "numbers"
"""Where a batch says which examples it holds."""


class Batches(Protocol):
    """Batches of example indices, in order, the same whenever they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What a run is trained on: examples, the batches they make up, and how a batch becomes tensors."""

    examples: Dataset[Any]
    batches: Batches
    collate: Callable[[Sequence[Any]], Batch]


class _Numbered(Dataset[Any]):
    """Examples together with their indices; of an (epoch, sequence), the sequence."""

    def __init__(self, examples: Dataset[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> tuple[int, Any]:
        return (index[-1] if isinstance(index, tuple) else index), self.examples[index]


class _Collate:
    """Collates numbered examples, and counts the tokens that are not padding."""

    def __init__(self, collate: Callable[[Sequence[Any]], Batch]) -> None:
        self.collate, self.tokens = collate, 0

    def __call__(self, numbered: Sequence[tuple[int, Any]]) -> Batch:
        batch = self.collate([example for _, example in numbered])
        self.tokens += int(batch["attention_mask"].sum())
        return {**batch, NUMBERS: torch.tensor([number for number, _ in numbered])}


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


class _Learner(torch.nn.Module):
    """Model and loss as one module, so that DDP and FSDP see one output, the loss, and nothing unused."""

    def __init__(self, model: LowPrecision, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        stacks = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
        # The name under which accelerate looks for the layers that FSDP shards one by one.
        self._no_split_modules = sorted({type(layer).__name__ for stack in stacks for layer in stack})

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.loss(self.model, batch)


class _Trainer(Trainer):
    """Trainer with a batch schedule from outside, which stops at the first loss that is not finite."""

    def __init__(self, *args: Any, batches: Batches, keeper: Keeper, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches, self.keeper = batches, keeper
        self.in_step: list[torch.Tensor] = []
        """Numbers of the examples of the step's micro-batches so far."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Of several processes, each gets every so many-th batch, so that a step's batches are the same."""
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
        numbers = inputs[NUMBERS]
        loss: torch.Tensor = model(inputs)
        if not torch.isfinite(loss):
            raise self._failure("loss", float(loss), [numbers])
        self.in_step = [*self.in_step, numbers][-self.args.gradient_accumulation_steps :]
        return loss

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        # With float16 an overflow is the gradient scaler's business: it skips the step and scales less.
        if not self.args.fp16 and norm is not None and not math.isfinite(float(norm)):
            raise self._failure("gradient", float(norm), self.in_step)
        return norm

    def _failure(self, what: str, value: float, numbers: list[torch.Tensor]) -> PipelineError:
        last = self.keeper.last
        return PipelineError(
            f"the training {what} is {value} at step {self.state.global_step + 1}, in the batch of examples "
            f"{_shown(torch.cat(numbers).tolist())}; the last good checkpoint is {last or 'none yet'}; lower "
            "learning_rate in the recipe, or correct those examples, and run again"
        )


def _shown(numbers: list[int], most: int = 8) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown


class _Report(TrainerCallback):
    """Tells progress: the loss, tokens a second, the time that is left."""

    def __init__(self, progress: Progress, counted: _Collate) -> None:
        self.progress, self.counted = progress, counted
        self.loss: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.began, self.first_step = time.monotonic(), state.global_step
        if isinstance(self.progress, Rehearsal):
            self.progress.begins(kwargs["model"], state.max_steps, args.device)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        spent = time.monotonic() - self.began
        rate = self.counted.tokens * distributed.processes() / spent
        left = spent / (state.global_step - self.first_step) * (state.max_steps - state.global_step)
        notes = [] if self.loss is None else [f"loss {self.loss:.3f}"]
        note = " · ".join([*notes, f"{rate:,.0f} tokens/s", f"{seconds(left)} left"])
        self.progress.update(state.global_step, state.max_steps, note)
        if isinstance(self.progress, Rehearsal):
            control.should_training_stop = self.progress.stepped(self.counted.tokens)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            self.loss = logs["loss"]


def train(
    model: torch.nn.Module,
    loss: Loss,
    feed: Feed,
    settings: Training,
    *,
    seed: int,
    work: Path,
    progress: Progress,
    launch: Launch | None = None,
) -> dict[str, float]:
    """Trains `model` in place on `feed`; `loss` maps (model in its precision, batch) to a scalar.

    Checkpoints go to `work` and a later call goes on from the last whole one. Returns the steps, the mean loss
    of the last tenth, and the tokens a second (padding not counted) since this call began. Under FSDP only the
    first process's `model` holds the result.
    Raises PipelineError when loss or gradient stops being finite, UsageError when the settings do not fit this
    machine or the number of processes.
    """
    launch = launch or Launch()
    distributed.join()
    share = _share(settings, len(feed.batches))
    set_seed(seed)
    steps = max(1, len(feed.batches) // settings.accumulate)
    sharded = _is_sharded(launch)
    # FSDP takes a model apart in place, and shards float32 weights that it casts itself.
    trained = copy.deepcopy(model) if sharded else model
    if launch.gradient_checkpointing:
        recompute.enable(trained, sharded=sharded)
    native = sharded or settings.precision == "float16"
    own_precision = torch.float32 if native else getattr(torch, settings.precision)
    arguments = TrainingArguments(
        output_dir=str(work / CHECKPOINTS),
        max_steps=steps,
        gradient_accumulation_steps=share,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=round(settings.warmup * steps),
        lr_scheduler_type="linear",
        logging_steps=max(1, min(20, steps // 10)),
        save_steps=launch.save_steps,
        save_total_limit=2,
        logging_nan_inf_filter=False,
        seed=seed,
        disable_tqdm=True,
        report_to=["wandb"] if launch.report_to == "wandb" else [],
        run_name=work.name[:12],
        fp16=settings.precision == "float16",
        bf16=sharded and settings.precision == "bfloat16",
        fsdp=True if launch.fsdp else None,  # type: ignore[arg-type]
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # One process drives one device: Trainer would spread it over all that it sees, and the batch with them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    counted, keeper = _Collate(feed.collate), Keeper(launch.save_minutes)
    trainer = _Trainer(
        _Learner(LowPrecision(trained, own_precision), loss),
        arguments,
        train_dataset=_Numbered(feed.examples),
        data_collator=counted,
        callbacks=[_Report(progress, counted), keeper, *_writers(launch, work)],
        batches=feed.batches,
        keeper=keeper,
    )
    _mute(trainer)
    if sharded and trainer.accelerator.distributed_type != DistributedType.FSDP:
        raise UsageError(
            "FSDP needs GPUs: accelerate does not shard over CPU processes; set launch.fsdp to false here, or "
            "leave --use_fsdp out"
        )
    if distributed.processes() > 1:
        set_seed_of_process(seed, device_specific=True)  # else every process would drop out the same
    keeper.last = last = last_whole(work / CHECKPOINTS)
    if last:
        progress.say(f"going on from {last.name}")
    began = time.monotonic()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    spent = time.monotonic() - began
    if sharded:
        _gather(trainer, model)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    if distributed.is_first():
        _write_history(history, work / HISTORY)
    losses = [entry["loss"] for entry in history]
    metrics = {
        "steps": float(steps),
        "final_loss": float(np.mean(losses[-max(1, len(losses) // 10) :])) if losses else math.nan,
        "tokens_per_second": distributed.total(counted.tokens) / spent,
    }
    distributed.wait()  # the first process removes `work` when its stage is done
    return metrics


def _share(settings: Training, batches: int) -> int:
    """How many of a step's micro-batches each process takes.

    Raises UsageError when they cannot be dealt out evenly, or the precision is not to be had on this device.
    """
    processes, accumulate = distributed.processes(), settings.accumulate
    if settings.precision == "float16" and not torch.cuda.is_available():
        raise UsageError(
            "precision is 'float16', which trains on CUDA only, and there is none here; "
            "set precision to 'bfloat16' in the recipe"
        )
    if accumulate % processes:
        raise UsageError(
            f"{processes} processes cannot share the {accumulate} micro-batches of a step evenly; set "
            f"accumulate to a multiple of {processes} in the recipe (and "
            "divide tokens_per_batch to keep the step's size)"
        )
    if processes > 1 and batches < accumulate:
        raise UsageError(
            f"the data make {batches} batches, too few for one step of {accumulate} on {processes} processes; "
            "lower tokens_per_batch in the recipe, or start one process"
        )
    return accumulate // processes


def _is_sharded(launch: Launch) -> bool:
    """Whether the recipe or accelerate launch asks for FSDP.

    Raises UsageError for a single process, which has nobody to share with.
    """
    asked = launch.fsdp or parse_flag_from_env("ACCELERATE_USE_FSDP")
    if asked and distributed.processes() == 1:
        raise UsageError(
            "launch.fsdp shards a model over several processes, and this is one; start it with "
            "torchrun, or set fsdp to false"
        )
    return bool(asked)


def _gather(trainer: Trainer, model: torch.nn.Module) -> None:
    """Brings the sharded weights together in the first process's `model`."""
    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if distributed.is_first():
        prefix = "model.inner."
        model.load_state_dict({name.removeprefix(prefix): value for name, value in whole.items()})


def _writers(launch: Launch, work: Path) -> list[TrainerCallback]:
    """What writes metrics elsewhere than to the screen.

    Raises MissingTool when its package is not installed.
    """
    tool = launch.report_to
    if tool != "none" and importlib.util.find_spec(tool) is None:
        raise MissingTool(f"launch.report_to is {tool!r}, which is not installed: pip install -e '.[{tool}]'")
    if tool != "tensorboard" or not distributed.is_first():
        return []
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    return [TensorBoardCallback(SummaryWriter(str(Path(launch.logs) / work.name)))]


def _write_history(history: Sequence[Mapping[str, float]], path: Path) -> None:
    kept = ("step", "loss", "learning_rate")
    lines = [{name: entry[name] for name in kept} for entry in history]
    path.write_text(json.dumps(lines, indent=1), encoding="utf-8")


def _mute(trainer: Trainer) -> None:
    """Our progress bar takes the place of Trainer's printed logs."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
