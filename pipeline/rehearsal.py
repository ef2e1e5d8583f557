"""A few steps of a training run, to learn what all of them will need."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.types import Silent

MOST_STEPS = 24
ENOUGH_SECONDS = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some steps of a run needed, and so what the whole will. Memory in bytes, on the device."""

    steps: int
    """Of the whole run."""
    tried: int
    """Steps that were made, the first, which warms up, not counted."""
    seconds_per_step: float
    tokens_per_step: float
    """Padding not counted."""
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    peak_bytes: int | None
    """CUDA: most that was allocated. CPU: most that the process held, libraries included. None: unknown."""
    device: str

    @property
    def seconds(self) -> float:
        """How long all steps take."""
        return self.steps * self.seconds_per_step


class Rehearsal(Silent):
    """A `Progress` under which a training run stops after a few steps; `cost` is None when none was made."""

    def __init__(self) -> None:
        self.cost: Cost | None = None

    def begins(self, model: torch.nn.Module, steps: int, device: torch.device) -> None:
        """The run is about to make its first step."""
        weights = [(p.numel() * p.element_size(), p.requires_grad) for p in model.parameters()]
        self._weights = sum(size for size, _ in weights)
        self._trained = sum(size for size, trained in weights if trained)
        self._steps, self._device = steps, device
        self._done: list[tuple[float, int]] = []
        _forget_peak(device)

    def stepped(self, tokens: int) -> bool:
        """A step was made, `tokens` have been collated since the beginning; whether that is enough."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._done.append((time.monotonic(), tokens))
        tried = len(self._done) - 1
        if not tried:
            return self._steps == 1
        (first, before), (last, after) = self._done[0], self._done[-1]
        self.cost = Cost(
            steps=self._steps,
            tried=tried,
            seconds_per_step=(last - first) / tried,
            tokens_per_step=(after - before) / tried,
            weights_bytes=self._weights,
            gradients_bytes=self._trained,
            optimizer_bytes=2 * self._trained,  # AdamW keeps two moments of each
            peak_bytes=_peak(self._device),
            device=_name(self._device),
        )
        return tried >= MOST_STEPS or last - first >= ENOUGH_SECONDS


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux: the peak is then that of the process from its start


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    from device_bench import machine

    return f"{machine.processor()}, {torch.get_num_threads()} threads"
