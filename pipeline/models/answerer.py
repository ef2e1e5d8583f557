"""Torch models as answerers: token ids in, logits out, without caring which class is behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.models import checkpoint, student
from pipeline.models.teacher import run_teacher
from pipeline.types import Answerer, UsageError


class TorchStudent:
    """A student graph run by torch in float32."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module.eval()

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            start, end = self.module(torch.from_numpy(input_ids), torch.from_numpy(attention_mask))
        return start.numpy(), end.numpy()


class TorchTeacher:
    """A Hugging Face model run by torch in float32. Token types follow from the first separator."""

    def __init__(self, model: PreTrainedModel, separator: int) -> None:
        self.model, self.separator = model, separator
        model.train(mode=False)

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = torch.from_numpy(input_ids.astype(np.int64))
        passed = torch.cumsum((ids == self.separator).long(), dim=1)
        before = passed - (ids == self.separator).long()
        batch = {
            "input_ids": ids,
            "attention_mask": torch.from_numpy(attention_mask.astype(np.int64)),
            "token_type_ids": (before > 0).long() * torch.from_numpy(attention_mask.astype(np.int64)),
        }
        with torch.inference_mode():
            start, end, _ = run_teacher(self.model, batch)
        return start.numpy(), end.numpy()


def load_checkpoint(folder: Path) -> tuple[Answerer, PreTrainedTokenizerBase]:
    """The model and tokenizer of a checkpoint folder, ours or Hugging Face's.

    Raises UsageError when the folder holds no question-answering model of a supported family.
    """
    if (folder / student.CONFIG).is_file():
        return TorchStudent(student.load(folder)), checkpoint.load_tokenizer(folder)
    checkpoint.check_folder(folder)
    if not checkpoint.has_head(folder):
        raise UsageError(f"{folder} has no question-answering head; it is an encoder, teach it first")
    tokenizer = checkpoint.load_tokenizer(folder)
    return TorchTeacher(checkpoint.load_model(folder), int(tokenizer.sep_token_id)), tokenizer
