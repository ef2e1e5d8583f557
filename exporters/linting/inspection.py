"""One program held against all rules: read, run on windows where there are some, judged."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from exporters.base import Runner, missing
from exporters.linting.checks import RULES
from exporters.linting.rules import Case
from pipeline.types import Finding, Inspection, MissingTool, PipelineError, UsageError

if TYPE_CHECKING:
    from exporters.linting.graph import Windows

SUFFIXES: Mapping[str, str] = {
    ".mlpackage": "coreml",
    ".pte": "executorch",
    ".tflite": "tflite",
    ".onnx": "onnx",
}
"""Of the program's file → the module here that reads it."""
INTERFACE = ("int64-interface", "unbounded-shape", "unsupported-shape", "beyond-positions", "interface-names")
"""Rules whose errors say that a program cannot be called as its task calls it."""
RUNNING = ("activation-range", "outputs-swapped")
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
    case = Case(graph=reader.read(program), precision=precision, kept=kept)
    unfit = next((name for name in INTERFACE if _errors(name, case)), None)
    reasons: dict[str, str] = {}
    if windows and unfit:
        reasons = dict.fromkeys(RUNNING, f"the program is not run, because of {unfit}")
    elif windows:
        case = _run(case, reader, windows, reference, runner, reasons)
    reasons |= dict.fromkeys(ignored, "ignored, as asked")
    findings: list[Finding] = []
    for name, rule in RULES.items():
        if name not in reasons and (reason := rule.why_not(case)):
            reasons[name] = reason
        if name not in reasons:
            findings += rule.findings(case)
    order = ("error", "warning", "note")
    findings.sort(key=lambda finding: order.index(finding.severity))
    return Inspection(findings=tuple(findings), skipped=reasons)


def _errors(name: str, case: Case) -> bool:
    rule = RULES[name]
    return not rule.why_not(case) and any(found.severity == "error" for found in rule.findings(case))


def _run(
    case: Case,
    reader: ModuleType,
    windows: Windows,
    reference: Sequence[tuple[np.ndarray, ...]],
    runner: Runner | None,
    reasons: dict[str, str],
) -> Case:
    """The case with what the program does on the windows; `reasons` where it cannot be had."""
    try:
        case = dataclasses.replace(case, peaks=reader.watch(case.graph, windows))
    except PipelineError as error:
        reasons["activation-range"] = str(error)
    if reference and runner is not None:
        try:
            answers = [runner(*window) for window in windows]
            case = dataclasses.replace(case, answers=answers, reference=reference)
        except PipelineError as error:
            reasons["outputs-swapped"] = str(error)
    return case


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
