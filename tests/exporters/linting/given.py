"""Programs with one fault each, and what lint is given to find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from exporters.linting.inspection import inspect
from pipeline.types import Finding, Inspection, Student

Seed: TypeAlias = Callable[[Path, Path], Path]
"""A whole program and an empty folder → the program with a fault."""
Seeds: TypeAlias = Mapping[str, tuple[str, Seed]]
"""Rule → the severity of what it finds in the seed, and the seed."""
LENGTHS = (9, 33)


def windows() -> list[tuple[np.ndarray, np.ndarray]]:
    """Random ids, the last two padding: int32 (1, length) each."""
    made = []
    for length in LENGTHS:
        ids = np.random.default_rng(length).integers(0, 200, (1, length)).astype(np.int32)
        mask = np.ones_like(ids)
        mask[:, -2:] = 0
        made.append((ids, mask))
    return made


def answers(student: Student) -> list[tuple[np.ndarray, ...]]:
    """The student's outputs on the windows, from torch."""
    with torch.inference_mode():
        return [
            tuple(output.numpy() for output in student.module(*map(torch.from_numpy, window)))
            for window in windows()
        ]


def float_matrices(student: Student) -> list[np.ndarray]:
    """What the student's record keeps in float."""
    plans = student.quantization.tensors.items()
    return [
        student.module.get_parameter(name).detach().numpy() for name, plan in plans if plan.dtype == "float32"
    ]


def found(inspection: Inspection, rule: str) -> list[Finding]:
    """The rule's findings."""
    return [finding for finding in inspection.findings if finding.rule == rule]


def look(program: Path, student: Student, target: str) -> Inspection:
    """Lint as the stage runs it, the student its reference."""
    from exporters import base

    try:
        runner = base.get(target).runner(program)
    except Exception:  # a seed may be beyond running; then the rules look at its graph alone
        runner = None
    return inspect(program, windows=windows(), reference=answers(student), runner=runner)
