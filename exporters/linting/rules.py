"""What a rule is: a name, what it looks for, a check, and a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from exporters.linting.graph import Graph
from pipeline.types import Finding

Severity = Literal["error", "warning", "note"]
Found = tuple[Severity, str, str]
"""Severity, where, what is wrong there."""
Outputs = tuple[np.ndarray, ...]
FORMATS = ("coreml", "executorch", "tflite", "onnx")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the rules may look at."""

    graph: Graph
    precision: str = "int8"
    """What the recipe asked for: int8 or float32."""
    kept: Sequence[np.ndarray] = ()
    """Matrices that it keeps in float on purpose."""
    peaks: Mapping[str, float] | None = None
    """Value → largest magnitude on calibration windows."""
    answers: Sequence[Outputs] | None = None
    """The program's outputs on windows, in the order of the task's names."""
    reference: Sequence[Outputs] | None = None
    """The same from what it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A check with its name, what it looks for and what to do about it."""

    name: str
    looks_for: str
    advice: str
    formats: tuple[str, ...]
    needs: Literal["", "precision", "peaks", "reference"]
    check: Callable[[Case], Iterator[Found]]

    def why_not(self, case: Case) -> str | None:
        """Why it does not apply to this case, or None."""
        if case.graph.target not in self.formats:
            return f"does not apply to {case.graph.target}"
        if self.needs == "precision" and case.precision != "int8":
            return "the recipe does not ask for int8"
        if self.needs == "peaks" and case.peaks is None:
            return "no windows to run; lint a bundle, which has some"
        if self.needs == "reference" and (case.answers is None or case.reference is None):
            return "no reference to compare with; lint a bundle, which has one"
        return None

    def findings(self, case: Case) -> Iterator[Finding]:
        """What it finds, worst first."""
        order = ("error", "warning", "note")
        for severity, where, what in sorted(self.check(case), key=lambda found: order.index(found[0])):
            yield Finding(severity=severity, rule=self.name, where=where, sentence=f"{what}; {self.advice}")


REGISTERED: dict[str, Rule] = {}


def rule(
    name: str,
    looks_for: str,
    advice: str,
    formats: tuple[str, ...] = FORMATS,
    needs: Literal["", "precision", "peaks", "reference"] = "",
) -> Callable[[Callable[[Case], Iterator[Found]]], Callable[[Case], Iterator[Found]]]:
    """Registers a check."""

    def register(check: Callable[[Case], Iterator[Found]]) -> Callable[[Case], Iterator[Found]]:
        REGISTERED[name] = Rule(
            name=name, looks_for=looks_for, advice=advice, formats=formats, needs=needs, check=check
        )
        return check

    return register
