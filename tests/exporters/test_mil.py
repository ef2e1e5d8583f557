"""The evaluation of Core ML programs: what it shows on the way, and what it says where it cannot go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters import mil
from exporters.base import quiet
from exporters.mil_weights import Value
from pipeline.types import PipelineError, UsageError

pytest.importorskip("coremltools")
with quiet():
    from coremltools.converters.mil.mil import Builder as mb

from tests.exporters.programs import build, numbers, save

WEIGHT, BIAS = numbers(6, 4, seed=2), numbers(6, seed=3)


@pytest.fixture(scope="module")
def linear_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = build(lambda x: mb.linear(x=x, weight=WEIGHT, bias=BIAS), mb.TensorSpec((1, 4)))
    return save(program, tmp_path_factory.mktemp("linear") / "linear.mlpackage")


def test_an_unknown_operation_is_named_with_its_place(tmp_path: Path) -> None:
    program = build(lambda x: mb.leaky_relu(x=x, alpha=0.1, name="odd_one"), mb.TensorSpec((1, 4)))
    package = save(program, tmp_path / "odd.mlpackage")
    with pytest.raises(
        UsageError, match=r"^operation leaky_relu at odd_one is not implemented by the evaluation"
    ):
        mil.Program(package)


def test_an_input_of_the_wrong_width_names_the_operation(linear_package: Path) -> None:
    program = mil.Program(linear_package)
    with pytest.raises(PipelineError, match=r"^operation linear at .+ cannot be evaluated: "):
        program({"x": numbers(1, 5)})


def _without_model(package: Path) -> None:
    (package / mil.DATA / "model.mlmodel").unlink()


def _garbled_model(package: Path) -> None:
    (package / mil.DATA / "model.mlmodel").write_bytes(b"\xff" * 100)


def _empty_model(package: Path) -> None:
    (package / mil.DATA / "model.mlmodel").write_bytes(b"")


def _without_weights(package: Path) -> None:
    shutil.rmtree(package / mil.DATA / "weights")


def _short_weights(package: Path) -> None:
    path = package / mil.DATA / "weights" / "weight.bin"
    path.write_bytes(path.read_bytes()[:200])


def _overwritten_weights(package: Path) -> None:
    path = package / mil.DATA / "weights" / "weight.bin"
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_without_model, "is no Core ML package: "),
        (_garbled_model, "is damaged: it cannot be decoded"),
        (_empty_model, "holds no ML program"),
        (_without_weights, "cannot be read"),
        (_short_weights, "is damaged: no constant of"),
        (_overwritten_weights, "is damaged: no constant of"),
    ],
)
def test_a_damaged_package_is_one_sentence(
    damage: Callable[[Path], None], sentence: str, linear_package: Path, tmp_path: Path
) -> None:
    package = tmp_path / "damaged.mlpackage"
    shutil.copytree(linear_package, package)
    damage(package)
    with pytest.raises(UsageError, match=sentence):
        mil.Program(package)


def test_an_observer_sees_every_value_by_name(tmp_path: Path) -> None:
    program = build(lambda x: mb.exp(x=mb.tanh(x=x, name="inner"), name="outer"), mb.TensorSpec((1, 4)))
    seen: dict[str, Value] = {}
    x = numbers(1, 4)
    results = mil.Program(save(program, tmp_path / "two.mlpackage"))({"x": x}, observe=seen.__setitem__)
    np.testing.assert_allclose(torch.as_tensor(seen["inner"]).numpy(), np.tanh(x), rtol=1e-6)
    np.testing.assert_array_equal(torch.as_tensor(seen["outer"]).numpy(), results["outer"])
