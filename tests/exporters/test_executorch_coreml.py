"""ExecuTorch with Core ML: what the program holds, read by ExecuTorch's and Core ML's own formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters import base, mil
from exporters.base import Lowered, int8_rows, int8_weights
from exporters.executorch_coreml import PACKAGE, Payload, _check_weights, _settled
from pipeline.types import PipelineError, Student, UsageError


@pytest.fixture(scope="module")
def payload(program: Callable[..., Lowered], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delegate's payload as a device unpacks it."""
    from executorch.backends.apple.coreml import executorchcoreml
    from executorch.exir._serialize._program import deserialize_pte_binary

    whole = deserialize_pte_binary(program("executorch-coreml").path.read_bytes()).program
    (plan,) = whole.execution_plan
    assert [delegate.id for delegate in plan.delegates] == ["CoreMLBackend"]
    assert not plan.operators, "nothing is left for ExecuTorch's own kernels"
    folder = tmp_path_factory.mktemp("payload")
    (data,) = whole.backend_delegate_data
    executorchcoreml.unflatten_directory_contents(bytes(data.data), str(folder))
    return folder


def test_inputs_outputs_and_lengths_are_the_students(program: Callable[..., Lowered], tiny: Student) -> None:
    held = Payload(program("executorch-coreml").path.read_bytes())
    assert held.feeds == ("input_ids", "attention_mask")
    assert held.names == tiny.outputs
    assert held.longest == tiny.max_length


def test_the_package_stores_the_integers_of_the_record(payload: Path, tiny: Student) -> None:
    package = mil.Program(payload / PACKAGE)
    stored = [np.asarray(entry.inputs["quantized_data"]) for entry in package.compressed.values()]
    wanted = [
        int8_rows(weight)[0].numpy()
        for role in ("embedding", "linear")
        for weight in int8_weights(tiny, role).values()
    ]
    assert len(stored) == len(wanted)
    for rows in wanted:
        assert any(np.array_equal(rows, found) for found in stored)


def test_weights_take_a_byte_each(payload: Path, tiny: Student) -> None:
    int8 = sum(w.numel() for role in ("embedding", "linear") for w in int8_weights(tiny, role).values())
    stored = (payload / PACKAGE / mil.DATA / "weights" / "weight.bin").stat().st_size
    assert int8 < stored < 1.5 * int8


def test_nothing_of_the_moment_is_left(payload: Path) -> None:
    described = mil.read_specification(payload / PACKAGE).description.metadata
    assert dict(described.userDefined) == {}
    assert not list(payload.rglob("*debug*"))


def test_metadata_is_the_students_and_a_changed_model_has_another_identifier(payload: Path) -> None:
    from executorch.backends.apple.coreml import executorchcoreml

    flat = executorchcoreml.flatten_directory_contents(str(payload / "lowered_module"))
    names = []
    for licence in ("Apache-2.0", "MIT"):
        folder = payload.with_name(f"again-{licence}")
        folder.mkdir()
        executorchcoreml.unflatten_directory_contents(_settled(flat, {"licence": licence}), str(folder))
        assert mil.read_specification(folder / PACKAGE).description.metadata.license == licence
        names.append(json.loads((folder / "lowered_module/metadata.json").read_text())["identifier"])
    assert len(set(names)) == 2


def test_a_weight_that_is_not_as_the_record_says_is_named(
    program: Callable[..., Lowered], tiny: Student
) -> None:
    held = Payload(program("executorch-coreml").path.read_bytes()).evaluator()
    _check_weights(held, tiny)
    name, entry = next(iter(held.compressed.items()))
    data = np.asarray(entry.inputs["quantized_data"])
    altered = data.copy()
    altered[0, 0] ^= 1
    held.compressed[name] = replace(entry, inputs={**entry.inputs, "quantized_data": torch.from_numpy(altered)})
    with pytest.raises(PipelineError, match=r"did not keep .*\.weight in int8"):
        _check_weights(held, tiny)


def test_a_program_of_another_kind_is_refused(program: Callable[..., Lowered]) -> None:
    with pytest.raises(UsageError, match=r"not one call of CoreMLBackend: its delegates are .*Xnnpack"):
        base.get("executorch-coreml").runner(program("executorch").path)
