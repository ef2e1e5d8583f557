"""Programs of whole checkpoints against Hugging Face's models with their tokenizers' token types."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from exporters import base
from exporters.base import Runner
from pipeline.models import adopt, checkpoint, compressed
from pipeline.models.teacher import run_teacher
from pipeline.numerics import on_grid
from pipeline.recipe import Quantize
from pipeline.types import MissingTool, Student
from tests.checkpoints import ARCHITECTURES, make

# Largest difference from the Hugging Face model as a share of its largest logit. In float32 Core ML still
# computes in float16. int8 rounds weights and what enters a linear to 255 steps each, and random weights as
# narrow as these hide less of it than trained ones do.
TOLERANCE = {
    "float32": {"coreml": 0.02, "executorch": 1e-4, "executorch-coreml": 0.02, "onnx": 1e-4, "tflite": 1e-4},
    "int8": {"coreml": 0.2, "executorch": 0.2, "tflite": 0.2},
}
LONGEST = 512


@dataclass(frozen=True)
class Exported:
    """A checkpoint, and its program's runner."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    runner: Runner

    def error(self, ids: np.ndarray, types: np.ndarray) -> float:
        """Largest difference of the logits of one window as a share of the largest of them."""
        if getattr(self.model.config, "type_vocab_size", 2) == 1:
            types = np.zeros_like(types)
        batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
        with torch.inference_mode():
            wanted, _ = run_teacher(self.model, {n: torch.from_numpy(a).long() for n, a in batch.items()})
        found = self.runner(ids.astype(np.int32), batch["attention_mask"].astype(np.int32))
        pairs = list(zip(found, (output.numpy() for output in wanted), strict=True))
        assert all(got.shape == expected.shape and got.dtype == np.float32 for got, expected in pairs)
        peak = max(float(np.abs(expected).max()) for _, expected in pairs)
        return max(float(np.abs(got - expected).max()) for got, expected in pairs) / peak


def student_of(folder: Path, precision: str, max_length: int) -> Student:
    described = adopt.describe(folder)
    model = checkpoint.load_model(folder, described.head, whole=True)
    graph = adopt.adopted(model, checkpoint.load_tokenizer(folder), described)
    options = Quantize.model_validate({"linears": precision, "embeddings": precision})
    record = compressed.plan(graph, options)
    with torch.no_grad():
        for name, tensor in record.tensors.items():
            if tensor.dtype == "int8":
                weight = graph.get_parameter(name)
                weight.copy_(on_grid(weight))
    return Student(
        name="whole", module=graph, quantization=record, max_length=max_length, outputs=graph.outputs
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exported]:
    """exported(architecture, target, precision) → its program, of one layer and at most LONGEST tokens."""

    @functools.cache
    def made(name: str, target: str, precision: str, max_length: int = LONGEST) -> Exported:
        try:
            exporter = base.get(target)
        except MissingTool as error:
            pytest.skip(str(error))
        folder = make(name, tmp_path_factory.mktemp("checkpoint") / name, layers=1)
        out = tmp_path_factory.mktemp("program")
        runner = exporter.runner(exporter.lower(student_of(folder, precision, max_length), out).path)
        model = checkpoint.load_model(folder, adopt.describe(folder).head)
        return Exported(model, checkpoint.load_tokenizer(folder), runner)

    return made


def window(tokenizer: PreTrainedTokenizerBase, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and token types, (1, length), of a pair that the tokenizer encoded, cut after so many tokens."""
    encoded = tokenizer("Who built the Mill?", "The mill was built in 1858. " * 90)
    types = encoded.get("token_type_ids", [0] * len(encoded["input_ids"]))
    ids, types = (np.array(part)[None, :length] for part in (encoded["input_ids"], types))
    assert ids.shape == (1, length)
    return ids, types


CASES = [
    *((name, "coreml", "int8") for name in ARCHITECTURES),
    ("bert-qa-cased-heads-of-7", "coreml", "float32"),
    ("bert-qa-cased-heads-of-7", "tflite", "float32"),
    ("bert-classification", "tflite", "int8"),
    ("distilbert-qa-30-wide-sinusoidal", "tflite", "int8"),
    ("bert-qa-cased-heads-of-7", "executorch", "float32"),
    ("bert-classification", "executorch", "int8"),
]


@pytest.mark.parametrize(("name", "target", "precision"), CASES)
def test_a_program_answers_as_the_hugging_face_model_does(
    name: str, target: str, precision: str, exported: Callable[..., Exported]
) -> None:
    program = exported(name, target, precision)
    for length in (1, 2, 15, 77, 511, 512):
        error = program.error(*window(program.tokenizer, length))
        assert error < TOLERANCE[precision][target], f"{length} tokens"


@pytest.mark.parametrize("target", base.ALL)
def test_a_program_of_one_token(target: str, exported: Callable[..., Exported]) -> None:
    program = exported("distilbert-classification", target, "float32", 1)
    assert program.error(*window(program.tokenizer, 1)) < TOLERANCE["float32"][target]
