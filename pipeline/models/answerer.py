"""Torch models as answerers: token ids in, logits out, without caring which class is behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models import checkpoint, student
from pipeline.models.student import Head, StudentModel
from pipeline.models.teacher import run_teacher
from pipeline.types import Answerer, UsageError


class TorchStudent:
    """A student graph run by torch in float32."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module.eval()

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            outputs = self.module(torch.from_numpy(input_ids), torch.from_numpy(attention_mask))
        return tuple(output.numpy() for output in outputs)


class TorchTeacher:
    """A Hugging Face model run by torch in float32. Token types follow from the first separator."""

    def __init__(self, model: PreTrainedModel, separator: int) -> None:
        self.model, self.separator = model, separator
        model.train(mode=False)

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        ids = torch.from_numpy(input_ids.astype(np.int64))
        passed = torch.cumsum((ids == self.separator).long(), dim=1)
        before = passed - (ids == self.separator).long()
        batch = {
            "input_ids": ids,
            "attention_mask": torch.from_numpy(attention_mask.astype(np.int64)),
            "token_type_ids": (before > 0).long() * torch.from_numpy(attention_mask.astype(np.int64)),
        }
        with torch.inference_mode():
            outputs, _ = run_teacher(self.model, batch)
        return tuple(output.numpy() for output in outputs)


def load_checkpoint(folder: Path) -> tuple[Answerer, PreTrainedTokenizerBase]:
    """The model and tokenizer of a checkpoint folder, ours or Hugging Face's, with the head that it has.

    Raises UsageError when the folder holds no model of a supported family, or one without a task's head.
    """
    if (folder / student.CONFIG).is_file():
        return TorchStudent(student.load(folder)), checkpoint.load_tokenizer(folder)
    checkpoint.check_folder(folder)
    head = next((head for head in checkpoint.HEADS if checkpoint.has_head(folder, head)), None)
    if head is None:
        raise UsageError(
            f"{folder} has no question-answering or classification head; it is an encoder, teach it first"
        )
    tokenizer = checkpoint.load_tokenizer(folder)
    return TorchTeacher(checkpoint.load_model(folder, head), int(tokenizer.sep_token_id)), tokenizer


def head_of(model: Answerer) -> tuple[Head, int]:
    """Which head a torch model has, and how many labels, where it has any."""
    if isinstance(model, TorchStudent) and isinstance(model.module, StudentModel):
        return model.module.config.head, model.module.config.labels
    assert isinstance(model, TorchTeacher)
    classifies = hasattr(model.model, "classifier")
    return "text-classification" if classifies else "question-answering", int(
        model.model.config.num_labels or 0
    )


def parameters_of(model: Answerer) -> int:
    """How many weights a torch model has, head included."""
    module = model.module if isinstance(model, TorchStudent) else getattr(model, "model", None)
    assert isinstance(module, torch.nn.Module)
    return sum(p.numel() for p in module.parameters())
