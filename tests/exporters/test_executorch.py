"""The ExecuTorch exporter: the student's own integers in the file, and what is left outside the delegate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from exporters.base import Lowered
from exporters.executorch import SHORTEST, ExecutorchRunner
from pipeline import numerics
from pipeline.types import Student
from tests.exporters.conftest import MAX_LENGTH

pytest.importorskip("executorch")

OUTSIDE = {
    "_to_dim_order_copy",
    "arange",
    "embedding",
    "et_view",
    "native_layer_norm",
    "select_copy",
    "sym_size",
    "unsqueeze_copy",
}
"""What XNNPACK leaves to other kernels: no matrix product, and no copy of the attention weights."""


@pytest.mark.parametrize("kept", [False, True])
def test_weights_are_those_of_the_student(
    kept: bool, program: Callable[..., Lowered], tiny: Student, tiny_kept: Student
) -> None:
    student, stored = (tiny_kept if kept else tiny), program("executorch", kept).path.read_bytes()
    for name, plan in student.quantization.tensors.items():
        weight = student.module.get_parameter(name).detach()
        values, scale = numerics.quantize_rows(weight)
        assert (weight.numpy().tobytes() in stored) == (plan.dtype == "float32"), name
        assert (values.numpy().tobytes() in stored) == (plan.dtype == "int8"), name
        assert plan.dtype == "float32" or scale.numpy().tobytes() in stored, name


def test_the_delegate_holds_every_matrix_product(program: Callable[..., Lowered]) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(program("executorch").path.read_bytes()).program.execution_plan
    assert {delegate.id for delegate in plan.delegates} == {"XnnpackBackend"}
    assert {operator.name.split("::")[1] for operator in plan.operators} <= OUTSIDE


def test_inputs_are_int32_and_of_any_length(program: Callable[..., Lowered]) -> None:
    runner = ExecutorchRunner(program("executorch").path, threads=1)
    for index in (0, 1):
        meta = runner._method.metadata.input_tensor_meta(index)
        assert tuple(meta.sizes()) == (1, MAX_LENGTH)
        assert meta.dtype() == 3  # int32 in PyTorch's numbering of types
    assert runner.lengths == tuple(range(SHORTEST, MAX_LENGTH + 1))


def test_threads_are_what_was_asked_for(program: Callable[..., Lowered]) -> None:
    from executorch.extension.pybindings import portable_lib

    for threads in (2, 1):
        ExecutorchRunner(program("executorch").path, threads=threads)
        assert portable_lib._threadpool_get_thread_count() == threads
    assert torch.get_num_threads() >= 1
