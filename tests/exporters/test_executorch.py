"""The ExecuTorch exporter: the student's own integers in the file, and what is left outside the delegate."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.base import Lowered
from exporters.executorch import SHORTEST, ExecutorchRunner
from exporters.executorch_beside import (
    GOLDEN_TOLERANCE,
    MAX_LENGTH,
    VOCABULARY_SHA256,
    constant_methods,
    golden_windows,
)
from pipeline import numerics
from pipeline.types import Student
from tests.exporters.conftest import MAX_LENGTH as LONGEST

pytest.importorskip("executorch")

OUTSIDE = {
    "arange",
    "embedding",
    "full_like",
    "_to_dim_order_copy",
    "select_copy",
    "squeeze_copy",
    "sym_size",
    "unsqueeze_copy",
}
"""What XNNPACK leaves to other kernels: nothing that touches the states between two layers."""
DELEGATES = 4
"""At most, however many layers: the encoder, the mask and the heads' ends."""


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

    plan, *constants = deserialize_pte_binary(program("executorch").path.read_bytes()).program.execution_plan
    assert [method.name for method in constants] == [MAX_LENGTH]
    assert {delegate.id for delegate in plan.delegates} == {"XnnpackBackend"}
    assert len(plan.delegates) <= DELEGATES
    assert {operator.name.split("::")[1] for operator in plan.operators} <= OUTSIDE


def test_inputs_are_int32_and_of_any_length(program: Callable[..., Lowered]) -> None:
    runner = ExecutorchRunner(program("executorch").path, threads=1)
    for index in (0, 1):
        meta = runner._method.metadata.input_tensor_meta(index)
        assert tuple(meta.sizes()) == (1, LONGEST)
        assert meta.dtype() == 3  # int32 in PyTorch's numbering of types
    assert runner.lengths == tuple(range(SHORTEST, LONGEST + 1))


def test_threads_are_what_was_asked_for(program: Callable[..., Lowered]) -> None:
    from executorch.extension.pybindings import portable_lib

    for threads in (2, 1):
        ExecutorchRunner(program("executorch").path, threads=threads)
        assert portable_lib._threadpool_get_thread_count() == threads
    assert torch.get_num_threads() >= 1


def test_constant_methods_say_the_longest_window_and_the_vocabulary(tiny: Student, tmp_path: Path) -> None:
    assert constant_methods(tiny) == {MAX_LENGTH: LONGEST}
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("[PAD]\nword\n", encoding="utf-8")
    brings = dataclasses.replace(tiny, files={"vocab.txt": vocabulary})
    expected = hashlib.sha256(b"[PAD]\nword\n").hexdigest()
    assert constant_methods(brings) == {MAX_LENGTH: LONGEST, VOCABULARY_SHA256: expected}


def test_a_constant_method_may_be_a_sentence(tmp_path: Path) -> None:
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    exported = torch.export.export(torch.nn.ReLU(), (torch.ones(2),))
    edge = to_edge_transform_and_lower(exported, constant_methods={MAX_LENGTH: 7, VOCABULARY_SHA256: "ab12"})
    path = tmp_path / "relu.pte"
    path.write_bytes(edge.to_executorch().buffer)
    program = Runtime.get().load_program(path)
    values = [program.load_method(name).execute([]) for name in (MAX_LENGTH, VOCABULARY_SHA256)]
    assert values == [[7], ["ab12"]]


def test_the_bundle_holds_golden_cases_that_the_program_meets_and_altered_ones_it_does_not(
    program: Callable[..., Lowered], tiny: Student
) -> None:
    from executorch.extension.pybindings import portable_lib

    (path,) = (p for p in program("executorch").companions if p.suffix == ".bpte")
    good = path.read_bytes()
    windows = golden_windows(tiny)
    with torch.no_grad():
        expected = tiny.module(*map(torch.from_numpy, windows[0]))[0].numpy()
    assert good.count(expected.tobytes()) == 1
    altered = good.replace(expected.tobytes(), (expected + 2 * GOLDEN_TOLERANCE).astype(np.float32).tobytes())
    bundle = portable_lib._load_bundled_program_from_buffer(good)
    for case in range(len(windows)):
        bundle.verify_result_with_bundled_expected_output("forward", case, 0.0, GOLDEN_TOLERANCE)
    wrong = portable_lib._load_bundled_program_from_buffer(altered)
    with pytest.raises(RuntimeError, match="verification failed"):
        wrong.verify_result_with_bundled_expected_output("forward", 0, 0.0, GOLDEN_TOLERANCE)


def test_the_record_is_small_and_names_no_path(program: Callable[..., Lowered]) -> None:
    from executorch.devtools.etrecord import parse_etrecord

    (path,) = (p for p in program("executorch").companions if p.suffix == ".etrecord")
    with zipfile.ZipFile(path) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        text = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(__file__).parents[2]).encode() not in text
    assert path.stat().st_size < program("executorch").path.stat().st_size
    parsed = parse_etrecord(str(path))
    assert parsed.edge_dialect_program is not None
    assert parsed._debug_handle_map
