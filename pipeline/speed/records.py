"""What the processes of a measurement tell each other, as JSON."""

from __future__ import annotations

from pathlib import Path

from pipeline.recipe import Record
from pipeline.speed import runtimes
from pipeline.speed.runtimes import Call

OURS, DEFAULT = "ours", "default"


class Program(Record):
    """A program on disk: the model, the runtime it is for, who made it, its longest length, bytes."""

    model: str
    runtime: str
    maker: str
    """ours or default."""
    length: int
    path: Path
    size_bytes: int
    seconds: float = 0.0
    """What making it took."""

    @property
    def label(self) -> str:
        """What samples are filed under: tflite ours, onnxruntime default."""
        return f"{self.runtime} {self.maker}"

    def load(self, threads: int) -> tuple[Call, tuple[int, ...] | None]:
        """The loaded program and the lengths it runs at; None where that is any."""
        if self.maker == OURS:
            return runtimes.load_ours(self.runtime, self.path, threads)
        call = runtimes.load_default(self.runtime, self.path, self.length, threads)
        return call, None if self.runtime == "onnxruntime" else (self.length,)
