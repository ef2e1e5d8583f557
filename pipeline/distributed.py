"""Several processes that train one model: who is first, who waits, what all of them agree on.

torchrun or accelerate launch starts the processes and accelerate joins them; nothing here starts any. In a
single process every function does nothing, and torch is not imported to find that out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = timedelta(hours=24)
"""How long processes wait for the first one, which may be packing a corpus."""


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank_at_launch() -> int:
    """This process's place among all that were launched, known before they have joined."""
    return int(os.environ.get("RANK", "0"))


def join() -> None:
    """Joins the launched processes into one group, nccl between GPUs and gloo between CPUs."""
    if not launched() or _group() is not None:
        return
    import torch
    from accelerate import PartialState

    gpus = torch.cuda.is_available()
    # What processes tell each other goes by the CPU, whatever the gradients take.
    PartialState(cpu=not gpus, backend="cuda:nccl,cpu:gloo" if gpus else None, timeout=PATIENCE)


def leave() -> None:
    """Ends the group, once all have arrived; from here on each process is alone."""
    if _group() is None:
        return
    from accelerate import PartialState

    wait()
    PartialState().destroy_process_group()
    PartialState._reset_state()


def processes() -> int:
    """How many processes have joined."""
    group = _group()
    return group.get_world_size() if group else 1


def is_first() -> bool:
    """Whether this process is the one that decides, writes and prints."""
    group = _group()
    return group is None or group.get_rank() == 0


def wait() -> None:
    """Waits until all processes are here."""
    if _group() is not None:
        from accelerate.utils import wait_for_everyone

        wait_for_everyone()


@contextmanager
def first_goes_first() -> Iterator[None]:
    """The block is run by the first process, then by the others."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def agreed(value: T) -> T:
    """The first process's value, in all of them."""
    if _group() is None:
        return value
    from accelerate.utils import broadcast_object_list

    box = [value]
    broadcast_object_list(box)
    return box[0]


def total(value: float) -> float:
    """The sum over all processes, in all of them."""
    if _group() is None:
        return value
    from accelerate.utils import gather_object

    return float(sum(gather_object([value])))


def _group() -> Any:
    """torch.distributed where a group was joined, else None."""
    found = sys.modules.get("torch.distributed")
    return found if found and found.is_available() and found.is_initialized() else None
