"""The TFLite exporter: names in the signature, the student's own integers, who runs what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from exporters.base import INPUTS, PER_TOKEN, Lowered
from pipeline import numerics
from pipeline.types import Student
from tests.exporters.conftest import MAX_LENGTH

pytest.importorskip("litert_torch")


@pytest.fixture(scope="module")
def open_program(program: Callable[..., Lowered]) -> Callable[[bool], Any]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def opened(kept: bool) -> Any:
        interpreter = Interpreter(
            model_path=str(program("tflite", kept).path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        return interpreter

    return opened


def weights_of(interpreter: Any, operation: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weight and scales (empty for float) of each such operation, which takes the weight as second input."""
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for node in interpreter._get_ops_details():
        if node["op_name"] == operation:
            index = node["inputs"][1]
            yield interpreter.get_tensor(index), details[index]["quantization_parameters"]["scales"]


def test_the_signature_has_the_students_names(open_program: Callable[[bool], Any]) -> None:
    runner = open_program(False).get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    assert set(inputs) == set(INPUTS)
    assert set(outputs) == set(PER_TOKEN)
    for details, dtype in ((inputs, np.int32), (outputs, np.float32)):
        for tensor in details.values():
            assert tuple(tensor["shape"]) == (1, MAX_LENGTH)
            assert tensor["dtype"] is dtype


@pytest.mark.parametrize("kept", [False, True])
def test_weights_are_those_of_the_student(
    kept: bool, open_program: Callable[[bool], Any], tiny: Student, tiny_kept: Student
) -> None:
    student, interpreter = (tiny_kept if kept else tiny), open_program(kept)
    for role, operation in (("linear", "FULLY_CONNECTED"), ("embedding", "EMBEDDING_LOOKUP")):
        stored = list(weights_of(interpreter, operation))
        plans = {name: plan for name, plan in student.quantization.tensors.items() if plan.role == role}
        for name, plan in plans.items():
            weight = student.module.get_parameter(name).detach()
            if plan.dtype == "int8":
                values, scale = (array.numpy() for array in numerics.quantize_rows(weight))
            else:
                values, scale = weight.numpy(), np.zeros(0, np.float32)
            assert any(
                table.dtype == values.dtype
                and np.array_equal(table, values)
                and np.array_equal(scales, scale.reshape(-1))
                for table, scales in stored
            ), name


def test_xnnpack_runs_the_linears(program: Callable[..., Lowered]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(program("tflite").path))
    interpreter.allocate_tensors()
    names = {node["op_name"] for node in interpreter._get_ops_details()}
    assert "DELEGATE" in names
