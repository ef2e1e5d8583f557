"""ONNX: what the file holds, read by the onnx library, and what ONNX Runtime makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from exporters import base
from exporters.base import Lowered, int8_rows, int8_weights
from pipeline.types import Quantization, Student, UsageError
from tests.exporters.conftest import MAX_LENGTH
from tests.exporters.test_contract import window


@pytest.fixture(scope="module")
def model(program: Callable[..., Lowered]) -> Any:
    return onnx.load(program("onnx").path)


@pytest.fixture(scope="module")
def floats(tiny: Student, tmp_path_factory: pytest.TempPathFactory) -> tuple[Student, Path]:
    """The same student with nothing quantized, with all that a file may say of itself, and its program."""
    metadata = {"description": "Answers questions", "licence": "Apache-2.0", "author": "somebody"}
    student = replace(tiny, quantization=Quantization(), metadata=metadata)
    return student, base.get("onnx").lower(student, tmp_path_factory.mktemp("floats")).path


def constants(model: Any) -> dict[str, np.ndarray]:
    return {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}


def test_the_file_is_valid_and_of_versions_that_phones_read(
    program: Callable[..., Lowered], model: Any
) -> None:
    onnx.checker.check_model(str(program("onnx").path), full_check=True)
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


def test_integers_and_scales_are_the_records(model: Any, tiny: Student) -> None:
    held = constants(model)
    for path, weight in int8_weights(tiny, "embedding").items():
        rows, scale = int8_rows(weight)
        np.testing.assert_array_equal(held[f"{path}.rows"], rows.numpy())
        np.testing.assert_array_equal(held[f"{path}.scale"], scale.numpy())
        assert held[f"{path}.rows"].dtype == np.int8
    for path, weight in int8_weights(tiny, "linear").items():
        rows, scale = int8_rows(weight)
        np.testing.assert_array_equal(held[f"{path}.columns"], rows.T.numpy())
        np.testing.assert_array_equal(held[f"{path}.scale"], scale[:, 0].numpy())
        assert held[f"{path}.columns"].dtype == np.int8


def test_no_matrix_is_stored_in_float_as_well(model: Any) -> None:
    floats = {name: held for name, held in constants(model).items() if held.dtype == np.float32}
    assert [name for name, held in floats.items() if held.ndim > 1 and min(held.shape) > 1] == []


def test_linears_are_integer_products(model: Any, tiny: Student) -> None:
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == len(int8_weights(tiny, "linear"))


def test_inputs_and_outputs_have_names_types_lengths_and_descriptions(model: Any, tiny: Student) -> None:
    inputs = [(entry.name, entry.type.tensor_type.elem_type) for entry in model.graph.input]
    assert inputs == [(name, onnx.TensorProto.INT32) for name in base.INPUTS]
    outputs = [(entry.name, entry.type.tensor_type.elem_type) for entry in model.graph.output]
    assert outputs == [(name, onnx.TensorProto.FLOAT) for name in tiny.outputs]
    for entry in (*model.graph.input, *model.graph.output):
        assert [d.dim_value or d.dim_param for d in entry.type.tensor_type.shape.dim] == [1, "length"]
        assert entry.doc_string


def test_the_file_says_what_it_is_and_names_no_source_file(floats: tuple[Student, Path]) -> None:
    student, path = floats
    model = onnx.load(path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said == {**student.metadata, "max_length": str(MAX_LENGTH)}
    assert model.doc_string == "Answers questions"
    assert b"student.py" not in path.read_bytes()


def test_a_float_program_is_the_torch_student(floats: tuple[Student, Path]) -> None:
    student, path = floats
    runner = base.get("onnx").runner(path)
    for length in (1, 2, 31, MAX_LENGTH):
        ids, mask = window(length)
        mask[:, length // 2 + 1 :] = 0
        with torch.inference_mode():
            expected = student.module(torch.from_numpy(ids), torch.from_numpy(mask))
        for got, wanted in zip(runner(ids, mask), expected, strict=True):
            np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4)


def test_onnx_runtime_fuses_the_int8_products_and_the_activation(
    program: Callable[..., Lowered], tiny: Student, tmp_path: Path
) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(str(program("onnx").path), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]
    fused = kinds.count("DynamicQuantizeMatMul") + kinds.count("MatMulIntegerToFloat")
    assert fused == len(int8_weights(tiny, "linear"))
    assert kinds.count("Gelu") + kinds.count("BiasGelu") == 2


def test_a_damaged_file_is_one_sentence(program: Callable[..., Lowered], tmp_path: Path) -> None:
    file = tmp_path / "damaged.onnx"
    file.write_bytes(program("onnx").path.read_bytes()[:5000])
    with pytest.raises(UsageError, match=r"damaged\.onnx is no ONNX model that ONNX Runtime can run"):
        base.get("onnx").runner(file)


def test_a_file_of_somebody_else_is_refused(model: Any, tmp_path: Path) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.metadata_props[:]
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(UsageError, match="does not say its longest window"):
        base.get("onnx").runner(tmp_path / "other.onnx")
