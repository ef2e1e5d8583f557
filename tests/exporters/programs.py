"""Small MIL programs as packages on disk, for the tests of their evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from exporters.base import quiet

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb


def save(program: Any, package: Path, target: Any = ct.target.iOS17, precision: Any = None) -> Path:
    """A MIL program, or a traced model's conversion, as a package."""
    with quiet():
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=target,
            compute_precision=precision or ct.precision.FLOAT32,
            skip_model_load=True,
        )
        model.save(str(package))
    return package


def build(function: Callable[..., Any], *inputs: Any, target: Any = ct.target.iOS17) -> Any:
    """The MIL program of a function over values; `inputs` are their TensorSpecs."""
    return mb.program(input_specs=list(inputs), opset_version=target)(function)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
