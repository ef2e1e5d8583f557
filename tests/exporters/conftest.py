"""A tiny student on the int8 grid, and its programs, each lowered once for all tests of the exporters."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch

from exporters import base
from exporters.base import Lowered
from pipeline import numerics
from pipeline.models.student import Head, LayerShape, StudentConfig, build
from pipeline.types import Quantization, Student, TensorPlan

MAX_LENGTH = 64
VOCABULARY = 200
# A linear whose scale the converters fold, one after a layer norm, one of two rows, and one of two tables.
KEPT = ("layers.0.attention.query", "layers.1.feed_forward.inner", "qa_outputs", "embeddings.position")


def make_student(kept: tuple[str, ...] = (), head: Head = "question-answering", labels: int = 2) -> Student:
    """2 layers × 32 with layer norms that scale, so that folding one into a linear would show."""
    torch.manual_seed(3)
    shapes = (LayerShape(heads=2, neurons=48), LayerShape(heads=1, neurons=64))
    model = build(
        StudentConfig(
            vocabulary=VOCABULARY,
            positions=MAX_LENGTH,
            hidden=32,
            head_size=16,
            layers=shapes,
            head=head,
            labels=labels,
        )
    ).eval()
    plans = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            path = name.removesuffix(".weight")
            if "norm.weight" in name:
                parameter.uniform_(0.5, 1.5)
            if parameter.dim() != 2:
                continue
            parameter.mul_(2.0)
            if path == "layers.1.attention.value":
                parameter.mul_(0.01)  # scales below 2⁻¹², which XNNPACK's quantizer would raise
            if path not in kept:
                parameter.copy_(numerics.on_grid(parameter))
            table = path.startswith("embeddings")
            plans[name] = TensorPlan(
                role="embedding" if table else "linear",
                dtype="float32" if path in kept else "int8",
                activations="float" if table or path in kept else "dynamic-int8",
            )
    return Student(
        name="tiny",
        module=model,
        quantization=Quantization(tensors=plans),
        max_length=MAX_LENGTH,
        outputs=model.outputs,
    )


@pytest.fixture(scope="session")
def tiny() -> Student:
    return make_student()


@pytest.fixture(scope="session")
def tiny_kept() -> Student:
    """The same with the weights of KEPT in float."""
    return make_student(KEPT)


@pytest.fixture(scope="session", params=[2, 1], ids=["two labels", "a value"])
def tiny_classifier(request: pytest.FixtureRequest) -> Student:
    """The same layers under a head of two labels, as many as a short window has tokens, or of one value.

    The recipe's plan leaves a single output in float.
    """
    kept = ("classifier",) if request.param == 1 else ()
    return make_student(kept, "text-classification", request.param)


@pytest.fixture(scope="session")
def program(
    tiny: Student, tiny_kept: Student, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Lowered]:
    """program(target) or program(target, kept=True) → what the target's exporter made of the student."""

    @functools.cache
    def lowered(target: str, kept: bool) -> Lowered:
        return base.get(target).lower(tiny_kept if kept else tiny, tmp_path_factory.mktemp(target))

    return lambda target, kept=False: lowered(target, kept)
