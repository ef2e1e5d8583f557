"""Every rule against an ExecuTorch program with that fault: one of ours with other bytes, or a small one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters.base import Lowered, quiet
from exporters.linting import executorch
from exporters.linting.checks import RULES
from exporters.linting.inspection import inspect
from pipeline.types import Student, UsageError
from tests.exporters.linting.given import Seed, Seeds, float_matrices, found, look

pytest.importorskip("executorch")
TARGET = "executorch"


def edited(change: Callable[[Any, Any], None]) -> Seed:
    """The program with `change(program, forward)` made to its tables."""

    def seed(whole: Path, out: Path) -> Path:
        from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

        file = deserialize_pte_binary(whole.read_bytes())
        (plan,) = (plan for plan in file.program.execution_plan if plan.name == "forward")
        change(file.program, plan)
        path = out / "edited.pte"
        path.write_bytes(bytes(serialize_pte_binary(file)))
        return path

    return seed


def inside(number: float, student: Callable[[], Student]) -> Seed:
    """The first number of a bias inside an XNNPACK partition is this one."""

    def seed(whole: Path, out: Path) -> Path:
        bias = student().module.get_parameter("layers.0.feed_forward.inner.bias").detach().numpy()
        changed = bias.copy()
        changed[0] = number
        data = whole.read_bytes()
        assert data.count(bias.tobytes()) == 1
        path = out / "patched.pte"
        path.write_bytes(data.replace(bias.tobytes(), changed.tobytes()))
        return path

    return seed


def small(module: torch.nn.Module, *inputs: torch.Tensor) -> Seed:
    """A program of its own, without a delegate."""

    def seed(whole: Path, out: Path) -> Path:
        with quiet():
            from executorch.exir import to_edge

            exported = torch.export.export(module.eval(), inputs)
            path = out / "small.pte"
            path.write_bytes(to_edge(exported).to_executorch().buffer)
        return path

    return seed


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.mm(x.double(), x.double().T).float()


class Looked(torch.nn.Module):
    """A table of int64 numbers, looked up by int64 ids, and three outputs."""

    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(256 * 2).reshape(256, 2))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = torch.nn.functional.embedding(ids, self.table)
        return rows + 1, rows - 1, rows * 2


LOOKED = small(Looked(), torch.zeros(1, 4, dtype=torch.int64))
DOUBLED = small(Doubled(), torch.zeros(8, 8))


@edited
def unbounded(program: Any, plan: Any) -> None:
    from executorch.exir.schema import TensorShapeDynamism

    for index in plan.inputs:
        plan.values[index].val.shape_dynamism = TensorShapeDynamism.DYNAMIC_UNBOUND


@edited
def longer(program: Any, plan: Any) -> None:
    for index in plan.inputs:
        plan.values[index].val.sizes[1] = 128


@edited
def crossed(program: Any, plan: Any) -> None:
    plan.outputs.reverse()


@edited
def bare(program: Any, plan: Any) -> None:
    program.execution_plan = [plan]


@edited
def copied(program: Any, plan: Any) -> None:
    """A second table of words in the file."""
    from copy import deepcopy

    values = [each for each in plan.values if type(each.val).__name__ == "Tensor"]
    (words,) = (each for each in values if each.val.sizes == [200, 32])
    again = deepcopy(words)
    again.val.data_buffer_idx = len(program.constant_buffer)
    program.constant_buffer.append(deepcopy(program.constant_buffer[words.val.data_buffer_idx]))
    plan.values.append(again)


@edited
def loud(program: Any, plan: Any) -> None:
    """Scales of the word embeddings times 10⁸."""
    for buffer in program.constant_buffer:
        if len(buffer.storage) == 4 * 200:
            scaled = np.frombuffer(bytes(buffer.storage), np.float32) * np.float32(1e8)
            buffer.storage = scaled.tobytes()


def seeds(tiny: Callable[[], Student]) -> Seeds:
    """The seeds; two need the student, whose numbers they look for."""
    return {
        "infinite-constant": ("error", inside(float("-inf"), tiny)),
        "fp16-overflow": ("warning", inside(float(np.finfo(np.float32).min), tiny)),
        "int64-interface": ("error", LOOKED),
        "float64": ("error", DOUBLED),
        "wide-constant": ("note", LOOKED),
        "activation-range": ("warning", loud),
        "duplicated-constant": ("warning", copied),
        "outside-delegate": ("error", DOUBLED),
        "unbounded-shape": ("error", unbounded),
        "beyond-positions": ("error", longer),
        "interface-names": ("error", LOOKED),
        "outputs-swapped": ("error", crossed),
        "missing-metadata": ("warning", bare),
    }


SEEDS = seeds(lambda: pytest.fail("only the names are wanted"))


@pytest.mark.parametrize("rule", SEEDS)
def test_it_is_caught(rule: str, program: Callable[..., Lowered], tiny: Student, tmp_path: Path) -> None:
    severity, seed = seeds(lambda: tiny)[rule]
    findings = found(look(seed(program(TARGET).path, tmp_path), tiny, TARGET), rule)
    assert findings, f"{rule} finds nothing"
    assert findings[0].severity == severity
    assert findings[0].sentence.endswith(RULES[rule].advice)
    assert findings[0].where


def test_a_program_of_ours_has_no_errors(program: Callable[..., Lowered], tiny: Student) -> None:
    inspection = look(program(TARGET).path, tiny, TARGET)
    assert not [finding for finding in inspection.findings if finding.severity == "error"]
    assert set(inspection.skipped) == {"unsupported-shape"}


def test_float_matrices_are_errors_unless_the_record_keeps_them(
    program: Callable[..., Lowered], tiny_kept: Student
) -> None:
    path = program(TARGET, kept=True).path
    left = found(inspect(path), "left-float")
    assert {finding.severity for finding in left} == {"error"}
    assert len(left) == 2  # KEPT's feed-forward and positions; the others are too small to matter
    assert not found(inspect(path, kept=float_matrices(tiny_kept)), "left-float")
    assert not found(inspect(path, precision="float32"), "left-float")


def test_the_partitions_are_read(program: Callable[..., Lowered]) -> None:
    graph = executorch.read(program(TARGET).path)
    products = [operation for operation in graph.operations if operation.kind == "XNNFullyConnected"]
    linears = [each for each in products if getattr(graph.source(each.inputs[1]), "dtype", "") == "int8"]
    assert len(linears) == 2 * 6 + 1
    assert all(operation.delegated for operation in linears)
    per_token = 3 * 32 * 32 + 32 * 32 + 2 * 32 * 48 + 3 * 32 * 16 + 16 * 32 + 2 * 32 * 64 + 32 * 2
    assert sum(operation.flops for operation in linears) == 2 * 64 * per_token
    means = [each for each in products if each not in linears]
    assert all(graph.source(each.inputs[1]) for each in means)


@pytest.mark.parametrize("damage", [b"", b"not a program", b"\x1c\0\0\0ET12" + b"\xff" * 40])
def test_a_damaged_file_is_one_sentence(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pte"
    path.write_bytes(damage)
    with pytest.raises(UsageError, match=r"broken\.pte .*export it again"):
        inspect(path)


def test_a_program_of_another_delegate_is_looked_at_and_not_run(program: Callable[..., Lowered]) -> None:
    windows = [(np.ones((1, 5), np.int32),) * 2]
    seen = inspect(program("executorch-coreml").path, windows=windows)
    assert "the runtime here does not run it" in seen.skipped["activation-range"]
    assert not any(each.severity == "error" for each in seen.findings)
