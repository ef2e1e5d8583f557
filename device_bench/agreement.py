"""Whether a program gives on a device what it gives here: its logits beside those of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from device_bench.measurement import Likeness, Measured
from device_bench.session import DeviceError
from exporters.base import Runner
from pipeline.bundles import Bundle
from pipeline.types import MissingTool

MIN_SQNR_DB = {"float32": 60.0, "int8": 15.0}
"""Least likeness. Float programs differ in the last bits alone. Where activations are rounded to int8 at every
linear a last bit decides some roundings, and that grows from layer to layer."""


def unlike(program: Measured) -> tuple[str, ...]:
    """A reason not to use its figures where its logits are not the host's."""
    found = program.likeness
    least = MIN_SQNR_DB[program.precision]
    if found is None or found.sqnr_db is None or found.sqnr_db >= least:
        return ()
    return (
        f"{program.name} {program.precision}: its logits are {found.sqnr_db:.1f} dB from the host's, and "
        f"{least:g} dB are the least: what ran there is another computation",
    )


def likeness(bundle: Bundle, windows: Sequence[Sequence[int]], outputs: Path) -> Likeness | None:
    """Compares a runner's outputs file, a window after the other, with the bundle run on this machine.

    None where this machine cannot run it. Raises DeviceError where the file does not hold as many logits as the
    windows have, or one that is not finite.
    """
    try:
        program = bundle.runner()
    except MissingTool:
        return None
    ours = np.concatenate([_logits(program, ids) for ids in windows])
    theirs = np.fromfile(outputs, dtype="<f4").astype(np.float64)
    if theirs.size != ours.size or not np.isfinite(theirs).all():
        raise DeviceError(
            f"{bundle.name}: the runner gave {theirs.size} logits, {np.isfinite(theirs).sum()} of them finite, "
            f"where {ours.size} were due"
        )
    noise = float(np.square(ours - theirs).sum())
    return Likeness(
        windows=len(windows),
        max_error=float(np.abs(ours - theirs).max()),
        sqnr_db=10 * float(np.log10(np.square(ours).sum() / noise)) if noise else None,
    )


def _logits(program: Runner, ids: Sequence[int]) -> np.ndarray:
    """One window's, output after output, as a runner writes them."""
    window = np.array([ids], dtype=np.int32)
    outputs = program(window, np.ones_like(window))
    return np.concatenate([np.asarray(output, dtype=np.float64).ravel() for output in outputs])
