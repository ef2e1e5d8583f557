"""The plain setup that distillation is measured against: Trainer as its documentation shows it.

Every window is padded to the task's length, everything is float32, a batch is so many windows, and the teacher
is asked in compute_loss. The three losses are ours, written with torch's own loss modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from pipeline.models.student import StudentModel
from pipeline.recipe import Distil
from pipeline.speed.pace import Tick
from pipeline.tasks.question_answering import Window
from pipeline.training import Batch, LowPrecision

MASKED = -1e4


class Features(Dataset[dict[str, Any]]):
    """Windows as the dictionaries that a Hugging Face data set gives."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        window = self.windows[index]
        return {
            "input_ids": window.ids.tolist(),
            "token_type_ids": window.types.tolist(),
            "attention_mask": [1] * len(window.ids),
            "start_positions": window.start,
            "end_positions": window.end,
        }


def distillation_loss(student: Any, teacher: PreTrainedModel, batch: Batch, options: Distil) -> torch.Tensor:
    """Soft targets, hard labels and cosine, weighted as the recipe says."""
    mask = batch["attention_mask"]
    asked = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        theirs = teacher(**asked, output_hidden_states=True)
    start, end, states = student(batch["input_ids"], mask, with_states=True)
    total = torch.zeros((), device=mask.device)
    for given, target, gold in (
        (start, theirs.start_logits, batch["start_positions"]),
        (end, theirs.end_logits, batch["end_positions"]),
    ):
        given, target = (logits.masked_fill(mask == 0, MASKED) for logits in (given, target))
        soft = nn.KLDivLoss(reduction="batchmean")(
            F.log_softmax(given / options.temperature, dim=-1),
            F.softmax(target / options.temperature, dim=-1),
        )
        hard = nn.CrossEntropyLoss()(given, gold)
        total = total + 0.5 * (options.soft * options.temperature**2 * soft + options.hard * hard)
    ours, its = (hidden[mask.bool()] for hidden in (states, theirs.hidden_states[-1]))
    same = torch.ones(len(ours), device=mask.device)
    cosine: torch.Tensor = nn.CosineEmbeddingLoss()(ours, its, same)
    return total + options.cosine * cosine


class PlainTrainer(Trainer):
    """Trainer with a teacher in compute_loss; `losses` and `tokens` (real ones) of every batch are kept."""

    def __init__(self, *args: Any, teacher: PreTrainedModel, options: Distil, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher = teacher.to(self.args.device).eval()  # type: ignore[arg-type]
        self.options = options
        self.losses: list[torch.Tensor] = []
        self.tokens = 0

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        loss = distillation_loss(model, self.teacher, inputs, self.options)
        self.losses.append(loss.detach())
        self.tokens += int(inputs["attention_mask"].sum())
        return loss


class _Ticking(TrainerCallback):
    def __init__(self, tick: Tick) -> None:
        self.tick = tick

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.tick()


def trainer(
    model: StudentModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    windows: Sequence[Window],
    options: Distil,
    *,
    batch: int,
    length: int,
    steps: int,
    folder: Path,
    tick: Tick,
) -> PlainTrainer:
    """The plain setup on these windows, in their order; nothing is saved."""
    made = PlainTrainer(
        model=LowPrecision(model, torch.float32),  # Trainer writes into a config that a bare model shows it
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=batch,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            warmup_steps=round(options.warmup * steps),
            max_steps=steps,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=Features(windows),
        data_collator=DataCollatorWithPadding(tokenizer, padding="max_length", max_length=length),
        callbacks=[_Ticking(tick)],
        teacher=teacher,
        options=options,
    )
    made.remove_callback(PrinterCallback)
    return made
