"""int8 activations (W8A8): ranges of what enters linears and convolutions, found without Core ML.

coremltools finds such ranges by prediction, which only a Mac can do; here the float16 program is evaluated on
the student's own calibration windows and coremltools' pass is given what came out. Only the inputs of linears
and convolutions are rounded: −1e4 of the mask leaves nothing of scores that go through 255 steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.base import INPUTS, padded

LAYERS = ("conv", "linear")
"""MIL operations whose input is rounded to int8."""
RENAME = "mil_backend::sanitize_name_strings"
"""Gives values the names they have in a saved program, under which their ranges were found."""
INSERT = "compression::insert_prefix_quantize_dequantize_pair"

Ranges = Mapping[str, tuple[float, float]]
"""Value of the program → its smallest and largest."""


def ranges(package: Path, windows: Sequence[tuple[np.ndarray, np.ndarray]]) -> Ranges:
    """What enters the LAYERS of a package over these windows, int32 (1, seq) twice, at least one."""
    from exporters import coreml_package, mil

    specification = mil.read_specification(package)
    function = specification.mlProgram.functions["main"]
    wanted = {
        operation.inputs["x"].arguments[0].name
        for operation in function.block_specializations[function.opset].operations
        if operation.type in LAYERS
    }
    lengths, program = coreml_package.lengths(specification), mil.Program(package, specification)
    found: dict[str, tuple[float, float]] = {}

    def widen(name: str, value: Any) -> None:
        if name in wanted:
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(value.min())), max(high, float(value.max()))

    for window in windows:
        # The evaluation takes any length where the program takes several; padding would only widen ranges.
        given = window if len(lengths) > 1 else padded(*window, lengths)
        program(dict(zip(INPUTS, given, strict=True)), observe=widen)
    return found


def pipeline(found: Ranges) -> Any:
    """coremltools' default passes and its insertion of quantize and dequantize before the LAYERS."""
    import coremltools as ct
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig

    symmetric = OpLinearQuantizerConfig(mode="linear_symmetric")
    passes = ct.PassPipeline.DEFAULT
    passes.append_pass(RENAME)
    passes.append_pass(INSERT)
    passes.set_options(
        INSERT,
        {
            "config": OptimizationConfig(op_type_configs=dict.fromkeys(LAYERS, symmetric)),
            "activation_stats": {name: {"rmin": low, "rmax": high} for name, (low, high) in found.items()},
        },
    )
    return passes
