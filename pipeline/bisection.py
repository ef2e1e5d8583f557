"""Which operation of a program goes wrong first: nothing is asked of a runtime but to lower and to run.

The student is lowered once more with the results of all its operations as its output; the first of them that
leaves tolerance is named. Where observing everything hides the fault (a converter fuses what nobody looks at),
the student is lowered cut after one operation at a time, by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from exporters.base import PER_WINDOW, Exporter
from pipeline.models import taps
from pipeline.models.answerer import TorchStudent
from pipeline.models.dynamic import quantized_alike
from pipeline.models.taps import Operation, Tapped
from pipeline.numerics import sqnr_db
from pipeline.types import Answerer, Quantization, Student

Window = tuple[np.ndarray, np.ndarray]
"""input_ids and attention_mask, int32 (1, seq)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An operation whose result left tolerance, and its worst value in torch and in the program."""

    operation: Operation
    place: str
    torch: float
    program: float
    sqnr_db: float
    wanted_db: float

    def __str__(self) -> str:
        return (
            f"{self.operation}: torch {self.torch:.4f}, program {self.program:.4f} at {self.place} "
            f"(SQNR {self.sqnr_db:.1f} dB after it, {self.wanted_db:g} wanted)"
        )


def first_bad_operation(
    student: Student,
    exporter: Exporter,
    windows: Sequence[Window],
    min_sqnr_db: float,
    step: Callable[[str], None] = lambda doing: None,
) -> Fault | None:
    """The first operation whose result in the program has less than `min_sqnr_db` against torch's.

    Torch is quantized as the runtime computes. None where every result stays within tolerance.
    """
    found = taps.operations(student.module)
    step("lowering with all operations observed")
    for fault in _measured(student, exporter, windows, min_sqnr_db, found):
        if not fault.sqnr_db >= min_sqnr_db:
            return fault
    step("lowering again with the last operation observed")
    good, bad = -1, len(found) - 1
    (fault,) = _measured(student, exporter, windows, min_sqnr_db, found, bad)
    if fault.sqnr_db >= min_sqnr_db:
        return None
    while bad - good > 1:
        place = (good + bad) // 2
        step(f"lowering up to {found[place]}")
        (here,) = _measured(student, exporter, windows, min_sqnr_db, found, place)
        if here.sqnr_db >= min_sqnr_db:
            good = place
        else:
            bad, fault = place, here
    return fault


def _measured(
    student: Student,
    exporter: Exporter,
    windows: Sequence[Window],
    min_sqnr_db: float,
    found: Sequence[Operation],
    place: int | None = None,
) -> list[Fault]:
    """Torch against the program on the results of all operations, or of one: SQNR and worst value of each."""
    chosen = found if place is None else [found[place]]
    alike = quantized_alike(student.module, student.quantization, exporter.activations)
    wanted = _values(TorchStudent(Tapped(alike, chosen)), windows)
    with TemporaryDirectory() as scratch:
        program = exporter.lower(_tapped(student, chosen), Path(scratch)).path
        got = _values(exporter.runner(program), windows)
    faults, start = [], 0
    for operation in chosen:
        end = start + math.prod(operation.shape)
        faults.append(_fault(operation, wanted[:, start:end], got[:, start:end], min_sqnr_db))
        start = end
    return faults


def _tapped(student: Student, chosen: Sequence[Operation]) -> Student:
    """The student that gives these operations' results, with the plans of the weights that they need."""
    needed = {path for operation in chosen for path in operation.needs}
    plans = {
        f"{taps.ROOT}.{name}": plan
        for name, plan in student.quantization.tensors.items()
        if name.removesuffix(".weight") in needed
    }
    return replace(
        student,
        module=Tapped(student.module, chosen).eval(),
        quantization=Quantization(tensors=plans),
        outputs=PER_WINDOW,
    )


def _values(model: Answerer, windows: Sequence[Window]) -> np.ndarray:
    """(windows, values), float64."""
    rows = [model(*window)[0] for window in windows]
    return np.concatenate(rows, dtype=np.float64)


def _fault(operation: Operation, wanted: np.ndarray, got: np.ndarray, wanted_db: float) -> Fault:
    """wanted, got: (windows, values) of one operation."""
    errors = np.nan_to_num(np.abs(wanted - got), nan=np.inf)
    window, value = np.unravel_index(errors.argmax(), errors.shape)
    return Fault(
        operation=operation,
        place=operation.place(int(value)),
        torch=float(wanted[window, value]),
        program=float(got[window, value]),
        sqnr_db=sqnr_db(wanted, got),
        wanted_db=wanted_db,
    )
