"""Programs of one runtime timed side by side in one process: ours, the default, and ONNX Runtime's as a peer.

Batch 1, one window at a time, in turns. At a fixed length every position is a real token. At real lengths each
round is another window: the default pads it to its own length, ours to the next of its lengths.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import numpy as np
import torch

from device_bench import machine
from device_bench.protocol import Plan, measure
from pipeline.recipe import Record
from pipeline.speed import arithmetic, runtimes
from pipeline.speed.loading import ones
from pipeline.speed.records import OURS, Program
from pipeline.speed.runtimes import Call

REAL = "real"
"""The case of SQuAD's lengths; the others are called by their number of tokens."""
SPREAD = 4
"""Windows of different lengths that warm up a case of real lengths."""


class TimePlan(Record):
    """One runtime at one number of threads: the programs of all models, the fixed lengths, real windows."""

    runtime: str
    threads: int
    warmup: int
    rounds: int
    lengths: tuple[int, ...]
    windows: tuple[tuple[int, ...], ...]
    """Token ids of each."""
    programs: tuple[Program, ...]
    linear: Program


class Case(Record):
    """Raw samples of one case: nanoseconds by program, a round each, and the lengths that were computed."""

    model: str
    runtime: str
    threads: int
    name: str
    lengths: tuple[int, ...]
    """Real tokens, by round."""
    samples_ns: dict[str, tuple[int, ...]]
    runs_at: dict[str, tuple[int, ...]]
    """Length that each program computes, by round."""


class Rates(Record):
    """The highest int8 OP/s seen: of one large linear in the runtime itself, and of torch's matrix product."""

    runtime: str
    threads: int
    linear: float
    torch: float


class Timed(Record):
    """What one process measured."""

    cases: tuple[Case, ...]
    rates: Rates
    load_average_before: float | None
    load_average_after: float | None


class Loaded:
    """A program in memory."""

    def __init__(self, program: Program, threads: int) -> None:
        self.program = program
        self.call, self.lengths = program.load(threads)

    def runs_at(self, length: int) -> int:
        """What a window of this length is padded to."""
        return next((taken for taken in self.lengths if taken >= length), 0) if self.lengths else length


def timed(plan: TimePlan) -> Timed:
    """Measures every case of every model, and the rates before and after them."""
    runtimes.imported(plan.runtime)
    torch.set_num_threads(plan.threads)
    before, rates = machine.load_average(), [_rates(plan)]
    cases: list[Case] = []
    for model in dict.fromkeys(program.model for program in plan.programs):
        loaded = [Loaded(program, plan.threads) for program in plan.programs if program.model == model]
        for length in plan.lengths:
            windows = [ones(length)] * plan.rounds
            cases.append(_case(plan, model, str(length), _at(loaded, length), windows, []))
        real = [_window(ids) for ids in plan.windows]
        longest = _at(loaded, plan.lengths[0])
        cases.append(_case(plan, model, REAL, longest, real, warming(real, longest)))
        del loaded, longest
        gc.collect()
    rates.append(_rates(plan))
    best = Rates(
        runtime=plan.runtime,
        threads=plan.threads,
        linear=max(rate.linear for rate in rates),
        torch=max(rate.torch for rate in rates),
    )
    after = machine.load_average()
    return Timed(cases=tuple(cases), rates=best, load_average_before=before, load_average_after=after)


def warming(
    windows: Sequence[tuple[np.ndarray, np.ndarray]], programs: Sequence[Loaded]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Windows from short to long, and one for every length at which a program of few lengths computes.

    The first call at a length plans memory and packs weights, which is no part of what a later one costs.
    """
    ordered = sorted(windows, key=lambda window: window[0].shape[1])
    spread = [ordered[i * (len(ordered) - 1) // (SPREAD - 1)] for i in range(SPREAD)]
    few = [one for one in programs if one.lengths and len(one.lengths) <= len(windows)]
    used = {one.runs_at(window[0].shape[1]) for one in few for window in windows}
    return [*spread, *(ones(length) for length in sorted(used))]


def _at(loaded: Sequence[Loaded], length: int) -> list[Loaded]:
    """Those of the programs that a case of this length is between: the default must be made for it."""
    return [one for one in loaded if one.program.maker == OURS or one.lengths in (None, (length,))]


def _case(
    plan: TimePlan,
    model: str,
    name: str,
    programs: Sequence[Loaded],
    windows: Sequence[tuple[np.ndarray, np.ndarray]],
    warm: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Case:
    before = [*warm, *[windows[0]] * (0 if warm else plan.warmup)]

    def turns(call: Call) -> Callable[[], object]:
        following = iter([*before, *windows])
        return lambda: call(*next(following))

    samples = measure(
        {one.program.label: turns(one.call) for one in programs},
        Plan(warmup=len(before), runs=len(windows)),
    )
    lengths = tuple(ids.shape[1] for ids, _ in windows)
    return Case(
        model=model,
        runtime=plan.runtime,
        threads=plan.threads,
        name=name,
        lengths=lengths,
        samples_ns=samples,
        runs_at={one.program.label: tuple(one.runs_at(length) for length in lengths) for one in programs},
    )


def _rates(plan: TimePlan) -> Rates:
    rows, wide, _ = arithmetic.LINEAR
    run = runtimes.load_linear(plan.runtime, plan.linear.path, plan.threads)
    values = np.random.default_rng(0).standard_normal((rows, wide), np.float32)
    return Rates(
        runtime=plan.runtime,
        threads=plan.threads,
        linear=arithmetic.best_rate(lambda: run(values), arithmetic.linear_flops()),
        torch=arithmetic.int8_rate(),
    )


def _window(ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array([ids], np.int32)
    return array, np.ones_like(array)
