"""What an ExecuTorch program carries besides `forward`, and what lies beside it for developers.

- constant methods, which an app reads without running anything;
- a BundledProgram (.bpte): the program with golden inputs and outputs, for
  `verify_result_with_bundled_expected_output`, which raises RuntimeError where they differ;
- an ETRecord (.etrecord): operation names for the Inspector, without weights.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.types import Student

if TYPE_CHECKING:
    import torch

MAX_LENGTH = "get_max_length"
VOCABULARY_SHA256 = "get_vocabulary_sha256"
GOLDEN_WINDOWS = 3
GOLDEN_TOLERANCE = 0.5
"""Absolute, on logits: golden outputs come from the student in float32, and the program rounds the inputs of
its linears to int8, each row on a grid of its own."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of everything in a zip archive, so that the same program gives the same bytes."""


def constant_methods(student: Student) -> dict[str, Any]:
    """Method → value: the longest window, and the vocabulary's SHA-256 (hex) where the student brings one."""
    methods: dict[str, Any] = {MAX_LENGTH: student.max_length}
    vocabulary = student.files.get("vocab.txt")
    if vocabulary is not None:
        methods[VOCABULARY_SHA256] = hashlib.sha256(vocabulary.read_bytes()).hexdigest()
    return methods


def golden_windows(student: Student) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first of the student's calibration windows, or seeded ids of three lengths; int32 (1, seq) twice."""
    if student.calibration:
        return [tuple(a.astype(np.int32) for a in pair) for pair in student.calibration[:GOLDEN_WINDOWS]]  # type: ignore[misc]
    words = next(int(str(m.num_embeddings)) for m in student.module.modules() if hasattr(m, "num_embeddings"))
    random, windows = np.random.default_rng(0), []
    for length in sorted({max(2, student.max_length), max(2, student.max_length // 2), 2}):
        ids = random.integers(0, words, (1, length)).astype(np.int32)
        windows.append((ids, np.ones_like(ids)))
    return windows


def bundle(student: Student, program: Any, path: Path) -> Path:
    """Writes the program with golden cases of `forward`; `program` is an ExecutorchProgramManager."""
    import torch
    from executorch.devtools import BundledProgram
    from executorch.devtools.bundled_program.config import MethodTestCase, MethodTestSuite
    from executorch.devtools.bundled_program.serialize import (
        serialize_from_bundled_program_to_flatbuffer as serialize,
    )

    cases = []
    for window in golden_windows(student):
        inputs = [torch.from_numpy(np.ascontiguousarray(array)) for array in window]
        with torch.no_grad():
            outputs = [output.contiguous() for output in student.module(*inputs)]
        cases.append(MethodTestCase(inputs=inputs, expected_outputs=outputs))
    suite = MethodTestSuite(method_name="forward", test_cases=cases)
    path.write_bytes(serialize(BundledProgram(program, [suite])))
    return path


def record(program: Any, path: Path) -> Path:
    """Writes the ETRecord of a program that was lowered with `generate_etrecord`.

    Weights become zeros of no size on disk, sources' paths and the date go, so that it is small and the same
    wherever it is made.
    """
    found = program.get_etrecord()
    found.exported_program = found.graph_map = None
    found.export_graph_id = 0
    edge = found.edge_dialect_program
    for exported in edge.values() if isinstance(edge, Mapping) else [edge]:
        _hollow(exported)
    draft = path.with_suffix(".draft")
    found.save(draft)
    with zipfile.ZipFile(draft) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            new.writestr(zipfile.ZipInfo(name, EPOCH), old.read(name), zipfile.ZIP_DEFLATED)
    draft.unlink()
    return path


def _hollow(exported: torch.export.ExportedProgram) -> None:
    """Zeros that share one element for every weight and constant, and nothing that differs from run to run."""
    for table in (exported._state_dict, exported._constants):
        for name, value in list(table.items()):
            if hasattr(value, "shape"):
                table[name] = _one_zero(value)
    for node in exported.graph.nodes:
        for key in ("stack_trace", "from_node"):  # paths of this machine, and addresses in memory
            node.meta.pop(key, None)


def _one_zero(value: torch.Tensor) -> torch.Tensor:
    import torch

    zero = torch.zeros(1, dtype=value.dtype).expand(value.shape) if value.dim() else torch.zeros_like(value)
    if isinstance(value, torch.nn.Parameter):
        return torch.nn.Parameter(zero, requires_grad=False)
    return zero
