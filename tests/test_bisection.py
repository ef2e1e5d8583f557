"""The first operation that goes wrong, in every runtime here: faults seeded between torch and the converter."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters import base
from exporters.base import Exporter, Lowered, Runner
from pipeline import numerics
from pipeline.bisection import Fault, Window, first_bad_operation
from pipeline.models import taps
from pipeline.models.answerer import TorchStudent
from pipeline.models.student import FeedForward, LayerShape, StudentConfig, build
from pipeline.models.taps import Tapped
from pipeline.types import Quantization, Student, TensorPlan

Seed = Callable[[nn.Module], None]


def MIXED_UP(module: nn.Module) -> None:
    """A linear's rows in another order."""
    weight = module.get_submodule("layers.0.feed_forward.inner").weight
    assert isinstance(weight, nn.Parameter)
    with torch.no_grad():
        weight.copy_(weight.flip(0))


def WRONG_KIND(module: nn.Module) -> None:
    """Another operation in an operation's place."""
    feed = module.get_submodule("layers.0.feed_forward")
    assert isinstance(feed, FeedForward)
    feed.activation = nn.Tanh()


class Faulty:
    """An exporter that alters what it is given; `hidden`: not where all operations are observed."""

    def __init__(self, inner: Exporter, seed: Seed, hidden: bool = False) -> None:
        self.inner, self.seed, self.hidden = inner, seed, hidden
        self.target, self.suffix, self.packages = inner.target, inner.suffix, inner.packages
        self.activations = inner.activations

    def why_unavailable(self) -> str | None:
        return None

    def why_not_run(self) -> str | None:
        return None

    def lower(self, student: Student, out: Path) -> Lowered:
        module = copy.deepcopy(student.module)
        assert isinstance(module, Tapped)
        if not (self.hidden and len(module.taps) > 1):
            self.seed(module.student)
        return self.inner.lower(replace(student, module=module), out)

    def runner(self, program: Path, *, threads: int = 1) -> Runner:
        return self.inner.runner(program, threads=threads)


@pytest.fixture(scope="module")
def small() -> Student:
    """One layer on the int8 grid."""
    torch.manual_seed(5)
    shape = LayerShape(heads=2, neurons=32)
    model = build(StudentConfig(vocabulary=60, positions=16, hidden=16, head_size=8, layers=(shape,))).eval()
    plans = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.copy_(numerics.on_grid(parameter * 2))
                role: TensorPlan = TensorPlan(role="embedding", dtype="int8")
                if "embeddings" not in name:
                    role = TensorPlan(role="linear", dtype="int8", activations="dynamic-int8")
                plans[name] = role
    return Student(
        name="small",
        module=model,
        quantization=Quantization(tensors=plans),
        max_length=16,
        outputs=model.outputs,
    )


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    draw = np.random.default_rng(0)
    ids = [draw.integers(0, 60, (1, length)).astype(np.int32) for length in (16, 5)]
    return [(each, np.ones_like(each)) for each in ids]


def test_operations_are_found_with_their_modules(small: Student) -> None:
    found = [str(operation) for operation in taps.operations(small.module)]
    assert found[0] == "aten.embedding at embeddings.word"
    assert found[-1] == "aten.linear at qa_outputs"
    attention = [name.split()[0] for name in found if name.endswith("at layers.0.attention")]
    assert attention == ["aten.mul", "aten.matmul", "aten.add", "aten.softmax", "aten.matmul"]
    linears = {path for path, module in small.module.named_modules() if isinstance(module, nn.Linear)}
    assert {name.removeprefix("aten.linear at ") for name in found if "linear" in name} == linears
    query = next(o for o in taps.operations(small.module) if o.key[0].endswith("query"))
    assert "layers.0.attention.key" not in query.needs
    assert "embeddings.word" in query.needs


def test_a_tap_gives_the_first_token_and_the_mean_of_what_a_module_computes(
    small: Student, windows: list[Window]
) -> None:
    found = taps.operations(small.module)
    chosen = [o for o in found if o.key[0] in ("embeddings.position", "layers.0.feed_forward.inner")]
    ids, mask = windows[1]
    padded = [np.pad(each, ((0, 0), (0, 4))) for each in (ids, mask)]
    (row,) = TorchStudent(Tapped(small.module, chosen))(*padded)
    kept: list[torch.Tensor] = []
    inner = small.module.get_submodule("layers.0.feed_forward.inner")
    with inner.register_forward_hook(lambda module, given, result: kept.append(result)):
        TorchStudent(small.module)(ids, mask)
    (values,) = kept[0]
    wanted = torch.stack([values[0], values.mean(dim=0)]).numpy()
    assert row.shape == (1, 2 * 16 + 2 * 32)
    assert np.allclose(row[0, 32:].reshape(2, 32), wanted, atol=1e-4)


def named(fault: Fault | None) -> str:
    assert fault is not None
    said = str(fault)
    assert re.search(
        r": torch -?\d+\.\d{4}, program -?\d+\.\d{4} at \[.+\] \(SQNR -?\d+\.\d dB after it, 20 wanted\)", said
    )
    assert abs(fault.torch - fault.program) > 0.01
    return said.partition(":")[0]


@pytest.mark.parametrize(
    ("target", "seed", "said"),
    [
        ("coreml", MIXED_UP, "aten.linear at layers.0.feed_forward.inner"),
        ("coreml", WRONG_KIND, "aten.gelu at layers.0.feed_forward.activation"),
        ("tflite", MIXED_UP, "aten.linear at layers.0.feed_forward.inner"),
        ("tflite", WRONG_KIND, "aten.gelu at layers.0.feed_forward.activation"),
        ("executorch", MIXED_UP, "aten.linear at layers.0.feed_forward.inner"),
    ],
)
def test_the_first_wrong_operation_is_named(
    target: str, seed: Seed, said: str, small: Student, windows: list[Window]
) -> None:
    assert named(first_bad_operation(small, Faulty(base.get(target), seed), windows, 20.0)) == said


def test_a_fault_that_hides_when_all_is_observed_is_found_by_cutting(
    small: Student, windows: list[Window]
) -> None:
    exporter, steps = Faulty(base.get("coreml"), WRONG_KIND, hidden=True), list[str]()
    fault = first_bad_operation(small, exporter, windows, 20.0, steps.append)
    assert named(fault) == "aten.gelu at layers.0.feed_forward.activation"
    assert len(steps) <= 8


def test_a_faithful_program_has_none(small: Student, windows: list[Window]) -> None:
    assert first_bad_operation(small, base.get("coreml"), windows, 20.0) is None
