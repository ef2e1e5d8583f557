"""What a teacher says of every training example: computed batch by batch, or once for all epochs and kept.

On disk it is `outputs.bin`, the examples' outputs end to end in the order of the first epoch's batches, in the
teacher's own precision, and `outputs.json`, written last, which says that the file is whole. Where an example
lies follows from the lengths alone, so a pass that was killed goes on after its last whole batch.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pipeline import distributed
from pipeline.console import seconds
from pipeline.training import NUMBERS, Batch, Feed
from pipeline.types import PipelineError, Progress

Outputs = tuple[torch.Tensor, ...]
"""Each (batch, seq), (batch, seq, width) or, where it says nothing about tokens, (batch, width)."""
Source = Callable[[Batch], Outputs]
Extent = Literal["tokens", "example"]
Choice = Literal["auto", "recompute", "once"]

FILE, RECORD = "outputs.bin", "outputs.json"
PROBES = 3
"""Batches on which the costs are measured, after one that only warms up."""
ROOM_SHARE = 0.8
"""Of the free disk space, at most so much is filled: checkpoints need room too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What both ways cost: seconds per token measured on a few batches, and the room on the disk in bytes."""

    forward: float
    write: float
    read: float
    tokens: int
    epochs: float
    size: int
    free: int

    @property
    def recompute_seconds(self) -> float:
        """The teacher's share of a run that computes its outputs anew for every batch."""
        return self.epochs * self.tokens * self.forward

    @property
    def once_seconds(self) -> float:
        """The same where they are computed once, written, and read in every epoch."""
        return self.tokens * (self.forward + self.write + self.epochs * self.read)

    @property
    def once(self) -> bool:
        """Whether to compute them once: it is faster, and there is room."""
        return self.once_seconds < self.recompute_seconds and self.fits

    @property
    def fits(self) -> bool:
        """Whether the disk has room."""
        return self.size <= ROOM_SHARE * self.free

    def sentence(self) -> str:
        """The decision and the figures behind it."""
        done = "once and kept" if self.once else "anew for every batch"
        why = "" if self.fits else ", for which the disk has no room"
        return (
            f"teacher outputs are computed {done}: over {self.epochs:g} epochs of {self.tokens:,} tokens, once "
            f"takes about {seconds(self.once_seconds)} and {self.size / 1e9:,.2f} GB of the disk's free "
            f"{self.free / 1e9:,.0f}{why}; anew takes {seconds(self.recompute_seconds)} (a thousand tokens: "
            f"forward {self.forward * 1e6:.2f}, write {self.write * 1e6:.2f}, read {self.read * 1e6:.2f} ms)"
        )


class Stored:
    """The outputs of every example of a feed, in a file that `fill` completes and calls read from."""

    def __init__(
        self,
        folder: Path,
        source: Source,
        feed: Feed,
        lengths: Sequence[int],
        order: Sequence[list[int]],
        extents: Sequence[Extent],
    ) -> None:
        """`lengths` in tokens; `order` are the batches to compute, every example once."""
        self.folder, self.source, self.feed, self.order, self.extents = folder, source, feed, order, extents
        self.lengths = np.asarray(lengths, np.int64)
        self.tokens = int(self.lengths.sum())
        first = self.compute(order[0])
        self.dtype = first[0].dtype
        self.shapes = [t.shape[2 if e == "tokens" else 1 :] for t, e in zip(first, extents, strict=True)]
        values = np.zeros_like(self.lengths)
        for shape, extent in zip(self.shapes, extents, strict=True):
            values += shape.numel() * (self.lengths if extent == "tokens" else 1)
        self.sizes = values * self.dtype.itemsize
        written = np.concatenate([np.asarray(batch) for batch in order])
        ends = np.cumsum(self.sizes[written])
        self.begins = np.zeros(len(self.lengths), np.int64)
        self.begins[written] = ends - self.sizes[written]
        self.batch_ends = ends[np.cumsum([len(batch) for batch in order]) - 1]
        self.size = int(ends[-1])
        self._handle: int | None = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            os.close(self._handle)  # type: ignore[arg-type]

    @property
    def complete(self) -> bool:
        """Whether an earlier call finished the file."""
        try:
            said = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            return bool(said == self._record() and (self.folder / FILE).stat().st_size == self.size)
        except (OSError, ValueError):
            return False

    @property
    def begun(self) -> bool:
        """Whether an earlier call left a part of the file."""
        return (self.folder / FILE).is_file()

    def _record(self) -> dict[str, Any]:
        return {"dtype": str(self.dtype), "shapes": [list(s) for s in self.shapes], "size_bytes": self.size}

    def compute(self, indices: Sequence[int]) -> Outputs:
        """The teacher's outputs for these examples, on the CPU."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        batch = self.feed.collate([self.feed.examples[i] for i in indices])
        with torch.no_grad():
            found = self.source({name: tensor.to(device) for name, tensor in batch.items()})
        return tuple(tensor.cpu() for tensor in found)

    def packed(self, indices: Sequence[int], outputs: Outputs) -> bytes:
        """The examples' outputs as they stand in the file, padding left out."""
        parts = []
        for row, index in enumerate(indices):
            for tensor, extent in zip(outputs, self.extents, strict=True):
                kept = tensor[row, : self.lengths[index]] if extent == "tokens" else tensor[row]
                parts.append(kept.contiguous().view(torch.uint8).numpy().tobytes())
        return b"".join(parts)

    def fill(self, progress: Progress) -> None:
        """Computes what the file still lacks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / FILE
        with path.open("ab") as file:
            done = int(np.searchsorted(self.batch_ends, file.tell(), side="right"))
            file.truncate(int(self.batch_ends[done - 1]) if done else 0)
            for number in range(done, len(self.order)):
                file.write(self.packed(self.order[number], self.compute(self.order[number])))
                progress.update(number + 1, len(self.order), "teacher outputs")
            file.flush()
            os.fsync(file.fileno())
        partial = self.folder / f".{RECORD}"
        partial.write_text(json.dumps(self._record()), encoding="utf-8")
        os.replace(partial, self.folder / RECORD)

    def __call__(self, batch: Batch) -> Outputs:
        """What `source` would say about a batch, padding zero; the batch's numbers say which they are."""
        if self._handle is None:
            self._handle = os.open(self.folder / FILE, os.O_RDONLY)
        mask = batch["attention_mask"]
        return tuple(
            tensor.to(mask.device) for tensor in self.read(self._handle, batch[NUMBERS].tolist(), mask.shape[1])
        )

    def read(self, handle: int, indices: Sequence[int], seq: int, shift: int = 0) -> Outputs:
        """Outputs of some examples, padded to `seq` tokens; the file begins at byte `shift` of the whole."""
        found = []
        for shape, extent in zip(self.shapes, self.extents, strict=True):
            places = (len(indices), seq) if extent == "tokens" else (len(indices),)
            found.append(torch.zeros((*places, *shape), dtype=self.dtype))
        for row, index in enumerate(indices):
            size = int(self.sizes[index])
            raw = bytearray(os.pread(handle, size, int(self.begins[index]) - shift))
            if len(raw) != size:
                raise PipelineError(f"{self.folder / FILE} is shorter than it was; delete it and run again")
            values, at = torch.frombuffer(raw, dtype=self.dtype), 0
            for tensor, extent in zip(found, self.extents, strict=True):
                into = tensor[row, : self.lengths[index]] if extent == "tokens" else tensor[row]
                into.copy_(values[at : at + into.numel()].view(into.shape))
                at += into.numel()
        return tuple(found)

    def costs(self, epochs: float) -> Costs:
        """Both ways measured on a few batches; reading is measured from the disk, not from memory."""
        self.folder.mkdir(parents=True, exist_ok=True)
        probed = [*self.order[1 : 1 + PROBES]] or [self.order[0]]
        tokens = int(sum(self.lengths[batch].sum() for batch in probed))
        began = time.perf_counter()
        computed = [self.compute(batch) for batch in probed]
        forward = time.perf_counter() - began
        path = self.folder / "probe.bin"
        shift = int(self.begins[probed[0][0]])
        with path.open("wb+") as file:
            began = time.perf_counter()
            for batch, outputs in zip(probed, computed, strict=True):
                file.write(self.packed(batch, outputs))
            file.flush()
            os.fsync(file.fileno())
            write = time.perf_counter() - began
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            began = time.perf_counter()
            for batch in probed:
                self.read(file.fileno(), batch, int(self.lengths[batch].max()), shift)
            read = time.perf_counter() - began
        path.unlink()
        return Costs(
            forward=forward / tokens,
            write=write / tokens,
            read=read / tokens,
            tokens=self.tokens,
            epochs=epochs,
            size=self.size,
            free=shutil.disk_usage(self.folder).free,
        )


def chosen(
    stored: Callable[[], Stored], source: Source, epochs: float, choice: Choice, progress: Progress
) -> Source:
    """`source` itself, or its outputs computed once: whichever is cheaper, or what `choice` asks for.

    Says the decision and its figures. What is left of an earlier call is used without measuring again.
    """
    if choice == "recompute" or epochs <= 1:
        return source
    kept = stored()
    keep = distributed.is_first() and _is_worth_keeping(kept, epochs, choice, progress)
    if not distributed.agreed(keep):
        return source
    with distributed.first_goes_first():
        if not kept.complete:
            kept.fill(progress)
    return kept


def _is_worth_keeping(kept: Stored, epochs: float, choice: Choice, progress: Progress) -> bool:
    """Whether to read the outputs from a file, and one sentence that says why."""
    size = f"{kept.size / 1e9:,.2f} GB"
    if kept.complete:
        progress.say(f"teacher outputs were computed before and are read back, {size}")
        return True
    if choice == "auto" and not kept.begun:
        costs = kept.costs(epochs)
        progress.say(costs.sentence())
        return costs.once
    verb = "computation of teacher outputs goes on" if kept.begun else "teacher outputs are computed once"
    progress.say(f"{verb}, {size}")
    return True
