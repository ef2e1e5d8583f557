"""What a recipe may choose of a Core ML package, lengths, layout, activations: against torch, and its bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters.coreml import EXPORTER
from pipeline import numerics
from pipeline.models.student import ClassifyingStudent, StudentModel, first_layers
from pipeline.types import CoreMLChoices, Quantization, Student, UsageError
from tests.exporters.conftest import MAX_LENGTH, VOCABULARY, make_student

pytest.importorskip("coremltools")

from exporters import coreml_package, mil
from exporters.coreml_ane import channels_first

BUCKETS = (8, 24, MAX_LENGTH)
CHOICES = {
    "plain": CoreMLChoices(),
    "enumerated": CoreMLChoices(lengths="enumerated"),
    "ane": CoreMLChoices(layout="ane"),
    "int8 activations": CoreMLChoices(activations="int8"),
    "all": CoreMLChoices(layout="ane", lengths="enumerated", activations="int8"),
}
TOLERANCE = {"float16": 0.03, "int8": 0.3}
"""Largest difference from torch's logits, whose spread is about 1."""


def window(length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(length).integers(0, VOCABULARY, (1, length)).astype(np.int32)
    return ids, np.ones_like(ids)


def chosen(choices: CoreMLChoices) -> Student:
    """The tiny student's first layer with these choices, buckets and calibration windows."""
    whole = make_student()
    assert isinstance(whole.module, StudentModel)
    module = first_layers(whole.module, 1)
    plans = {name: whole.quantization.tensors.get(name) for name, _ in module.named_parameters()}
    return dataclasses.replace(
        whole,
        module=module,
        quantization=Quantization(tensors={name: plan for name, plan in plans.items() if plan}),
        lengths=BUCKETS,
        calibration=tuple(window(length) for length in (9, 30, 61)),
        coreml=choices,
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def lowered(name: str) -> Path:
        if name not in made:
            made[name] = EXPORTER.lower(chosen(CHOICES[name]), tmp_path_factory.mktemp("chosen")).path
        return made[name]

    return lowered


def operations(package: Path) -> list[Any]:
    function = mil.read_specification(package).mlProgram.functions["main"]
    return list(function.block_specializations[function.opset].operations)


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_agrees_with_torch_at_every_length(name: str, package: Callable[[str], Path]) -> None:
    student, runner = chosen(CHOICES[name]), EXPORTER.runner(package(name))
    for length in (1, 8, 9, 24, 40, MAX_LENGTH):
        ids, mask = window(length)
        with torch.inference_mode():
            expected = student.module(torch.from_numpy(ids), torch.from_numpy(mask))
        for got, wanted in zip(runner(ids, mask), expected, strict=True):
            assert got.shape == (1, length)
            assert np.abs(got - wanted.numpy()).max() < TOLERANCE[student.coreml.activations]


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_gives_the_same_bytes_twice(
    name: str, package: Callable[[str], Path], tmp_path: Path
) -> None:
    again = EXPORTER.lower(chosen(CHOICES[name]), tmp_path).path
    files = sorted(path for path in again.rglob("*") if path.is_file())
    assert [f.relative_to(again) for f in files] == sorted(
        path.relative_to(package(name)) for path in package(name).rglob("*") if path.is_file()
    )
    for file in files:
        assert file.read_bytes() == (package(name) / file.relative_to(again)).read_bytes(), file


@pytest.mark.parametrize("name", CHOICES)
def test_stored_integers_are_the_records_in_every_choice(name: str, package: Callable[[str], Path]) -> None:
    student, program = chosen(CHOICES[name]), mil.Program(package(name))
    parameters = dict(student.module.named_parameters())
    assert len(program.compressed) == len(student.quantization.tensors)
    for path in student.quantization.tensors:
        kept = program.compressed[f"{path.replace('.', '_')}_cast_fp16"]
        data = kept.inputs["data" if "data" in kept.inputs else "quantized_data"]
        scale = kept.inputs["scale"]
        assert isinstance(data, torch.Tensor)
        assert isinstance(scale, torch.Tensor)
        values, scales = numerics.quantize_rows(parameters[path])
        assert torch.equal(data.reshape(values.shape), values)
        assert torch.equal(scale.flatten(), scales.flatten().half().float())


@pytest.mark.parametrize("name", ["enumerated", "all"])
def test_every_bucket_gives_what_the_full_length_gives(name: str, package: Callable[[str], Path]) -> None:
    runner = EXPORTER.runner(package(name))
    assert runner.lengths == BUCKETS
    for length in (3, 8, 20, 24):
        ids, mask = window(length)
        full = [np.pad(array, ((0, 0), (0, MAX_LENGTH - length))) for array in (ids, mask)]
        for short, long in zip(runner(ids, mask), runner(full[0], full[1]), strict=True):
            np.testing.assert_allclose(short, long[:, :length], atol=TOLERANCE["float16"])


def test_the_runner_picks_the_smallest_bucket_that_fits(package: Callable[[str], Path]) -> None:
    runner = EXPORTER.runner(package("enumerated"))
    asked: list[int] = []
    predict = runner.predict  # type: ignore[attr-defined]

    def counted(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(feeds["input_ids"].shape[1])
        return dict(predict(feeds))

    runner.predict = counted  # type: ignore[attr-defined]
    for length in (1, 8, 9, 24, 25, 64):
        runner(*window(length))
    assert asked == [8, 8, 24, 24, 64, 64]


def test_enumerated_shapes_are_declared_for_both_inputs_on_ios_18(package: Callable[[str], Path]) -> None:
    specification = mil.read_specification(package("enumerated"))
    assert specification.specificationVersion == 9
    for feature in specification.description.input:
        array = feature.type.multiArrayType
        assert [list(shape.shape) for shape in array.enumeratedShapes.shapes] == [[1, n] for n in BUCKETS]
        assert list(array.shape) == [1, MAX_LENGTH]


def test_a_single_length_is_a_fixed_shape(tmp_path: Path) -> None:
    student = chosen(CoreMLChoices(lengths="enumerated"))
    student = dataclasses.replace(student, lengths=(MAX_LENGTH,))
    path = EXPORTER.lower(student, tmp_path).path
    specification = mil.read_specification(path)
    assert coreml_package.lengths(specification) == (MAX_LENGTH,)
    assert specification.specificationVersion == 8
    start, end = EXPORTER.runner(path)(*window(5))
    assert start.shape == end.shape == (1, 5)


def test_the_layout_for_the_neural_engine_is_channels_first(package: Callable[[str], Path]) -> None:
    found = operations(package("ane"))
    kinds = [operation.type for operation in found]
    assert "linear" not in kinds
    assert "matmul" not in kinds
    assert kinds.count("conv") == 6 + 1
    assert kinds.count("einsum") == 2 * 2  # two products for each of two heads
    convolutions = [operation for operation in found if operation.type == "conv"]
    for operation in convolutions:
        dimensions = operation.outputs[0].type.tensorType.dimensions
        assert len(dimensions) == 4
        assert dimensions[2].constant.size == 1


def test_a_student_built_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    odd = chosen(CoreMLChoices(layout="ane"))
    odd.module.add_module("gate", torch.nn.Linear(2, 2))
    with pytest.raises(UsageError, match=r'"ane" knows .+, but the student has gate; use layout = "plain"'):
        EXPORTER.lower(odd, tmp_path)
    headless = chosen(CoreMLChoices(layout="ane"))
    del headless.module.qa_outputs
    with pytest.raises(UsageError, match="but the student has only embeddings, layers"):
        EXPORTER.lower(headless, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_classifier_in_the_layout_for_the_neural_engine(tiny_classifier: Student, tmp_path: Path) -> None:
    student = dataclasses.replace(tiny_classifier, coreml=CoreMLChoices(layout="ane"))
    runner = EXPORTER.runner(EXPORTER.lower(student, tmp_path).path)
    for length in (1, 7, MAX_LENGTH):
        ids, mask = window(length)
        with torch.inference_mode():
            (expected,) = student.module(torch.from_numpy(ids), torch.from_numpy(mask))
        (got,) = runner(ids, mask)
        np.testing.assert_allclose(got, expected.numpy(), atol=0.03)


def test_a_classifier_with_a_pooler_in_the_layout_for_the_neural_engine() -> None:
    """What a checkpoint that is exported as it is has before its classifier."""
    plain = make_student((), "text-classification").module
    torch.manual_seed(2)
    pooler = torch.nn.Linear(32, 32)
    plain.pooler, plain.pooled = pooler, torch.nn.Tanh()
    ids, mask = (torch.from_numpy(array) for array in window(11))
    assert isinstance(plain, ClassifyingStudent)
    with torch.inference_mode():
        expected = plain.classifier(torch.tanh(pooler(plain.states(ids, mask)[:, 0])))
        (got,) = channels_first(plain)(ids, mask)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "layer"), [("int8 activations", "linear"), ("all", "conv")])
def test_scales_of_activations_are_the_largest_that_torch_sees(
    name: str, layer: str, package: Callable[[str], Path]
) -> None:
    student = chosen(CHOICES[name])
    largest: dict[str, float] = {}

    def keep(path: str) -> Callable[..., None]:
        def look(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            largest[path] = max(largest.get(path, 0.0), float(given[0].abs().max()))

        return look

    for path, module in student.module.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(keep(path.replace(".", "_")))
    with torch.inference_mode():
        for ids, mask in student.calibration:
            student.module(torch.from_numpy(ids), torch.from_numpy(mask))

    program, found = mil.Program(package(name)), operations(package(name))
    made_by = {output.name: operation for operation in found for output in operation.outputs}
    layers = [operation for operation in found if operation.type == layer]
    assert len(layers) == len(largest)
    for operation in layers:
        weight = operation.inputs["weight"].arguments[0].name.removesuffix("_weight_cast_fp16")
        entered = made_by[operation.inputs["x"].arguments[0].name]
        assert entered.type == "dequantize"
        scale = program.constants[entered.inputs["scale"].arguments[0].name]
        assert isinstance(scale, torch.Tensor)
        assert float(scale) == pytest.approx(largest[weight] / 127, rel=5e-3)
    assert sum(operation.type == "quantize" for operation in found) <= len(layers)


def test_int8_activations_cost_no_room_for_weights(package: Callable[[str], Path]) -> None:
    def weights(name: str) -> int:
        return (package(name) / mil.DATA / "weights" / "weight.bin").stat().st_size

    assert weights("int8 activations") == (weights("plain"))


def test_int8_activations_without_calibration_are_refused(tmp_path: Path) -> None:
    student = chosen(CoreMLChoices(activations="int8"))
    student = dataclasses.replace(student, calibration=())
    with pytest.raises(UsageError, match=r'activations = "int8" needs calibration windows, and there are none'):
        EXPORTER.lower(student, tmp_path)
    assert not list(tmp_path.iterdir())
