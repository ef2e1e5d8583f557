"""Devices that answer as a test tells them."""

from __future__ import annotations

from collections.abc import Callable

from device_bench.devices.base import Request
from device_bench.measurement import Measurement
from pipeline.types import Progress

Install = Callable[..., None]


class Fake:
    """A device that answers with a measurement it is given, or fails."""

    def __init__(self, name: str, outcome: Callable[[Request], Measurement] | Exception | str) -> None:
        self.name, self.outcome = name, outcome

    def why_unavailable(self) -> str | None:
        return self.outcome if isinstance(self.outcome, str) else None

    def measure(self, request: Request, progress: Progress) -> Measurement:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert not isinstance(self.outcome, str)
        return self.outcome(request)
