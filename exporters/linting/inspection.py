"""One program held against all rules: read, run on windows where there are some, judged."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from exporters.base import Runner, missing
from exporters.linting import rules
from pipeline.types import Finding, Inspection, MissingTool, PipelineError, UsageError

if TYPE_CHECKING:
    from exporters.linting.graph import Graph, Windows

SUFFIXES: Mapping[str, str] = {".mlpackage": "coreml", ".pte": "executorch", ".tflite": "tflite", ".onnx": "onnx"}
"""Of the program's file → the module here that reads it."""
MODULES = {
    "coreml": ("coremltools", "torch"),
    "executorch": ("executorch", "torch"),
    "tflite": ("ai_edge_litert",),
    "onnx": ("onnx", "onnxruntime"),
}


def inspect(
    program: Path,
    *,
    precision: str = "int8",
    kept: Sequence[np.ndarray] = (),
    windows: Windows = (),
    reference: Sequence[tuple[np.ndarray, ...]] = (),
    runner: Runner | None = None,
    ignored: Collection[str] = (),
) -> Inspection:
    """Every rule's findings. `reference` are outputs on the windows that `runner` is to give again.

    A rule that cannot be checked is among the skipped, with the reason. Raises UsageError for a program that
    cannot be read and MissingTool when its format's packages are not installed.
    """
    reader = _reader(program)
    graph: Graph = reader.read(program)
    skipped = dict.fromkeys(ignored, "ignored, as asked")
    peaks = answers = None
    if windows:
        try:
            peaks = reader.watch(graph, windows)
        except PipelineError as error:
            skipped["activation-range"] = str(error)
    other = [value for value in graph.entries[0].inputs if value.dtype != "int32"]
    if windows and reference and runner is not None:
        try:
            if other:
                raise UsageError(f"runners give int32 windows, an input is {other[0].dtype}")
            answers = [runner(*window) for window in windows]
        except PipelineError as error:
            skipped["outputs-swapped"] = str(error)
    case = rules.Case(
        graph=graph,
        precision=precision,
        kept=kept,
        peaks=peaks,
        answers=answers,
        reference=reference or None,
    )
    findings: list[Finding] = []
    for name, rule in rules.RULES.items():
        if name not in skipped and (reason := rule.why_not(case)):
            skipped[name] = reason
        if name not in skipped:
            findings += rule.findings(case)
    order = ("error", "warning", "note")
    findings.sort(key=lambda finding: order.index(finding.severity))
    return Inspection(findings=tuple(findings), skipped=skipped)


def _reader(program: Path) -> ModuleType:
    if not program.exists():
        raise UsageError(f"{program} does not exist; give a program or a bundle folder")
    target = SUFFIXES.get(program.suffix)
    if target is None:
        raise UsageError(f"{program} is no program that lint reads; it reads {', '.join(SUFFIXES)} and bundles")
    if (target == "coreml") != program.is_dir():
        what = "a folder" if target == "coreml" else "a file"
        raise UsageError(f"{program} is not {what}, as a {program.suffix} is; export it again")
    if reason := missing(target, MODULES[target]):
        raise MissingTool(reason)
    return importlib.import_module(f"exporters.linting.{target}")
