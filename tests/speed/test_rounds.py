"""Loops advance in turns, and what is made of their samples."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from device_bench.protocol import Plan
from pipeline import bench_distil
from pipeline.bench_distil import judged_lines, line_table
from pipeline.speed import memory
from pipeline.speed.arithmetic import Shape
from pipeline.speed.pace import Paced, Tick
from pipeline.speed.rounds import Program, Timed, timed, times_faster
from pipeline.types import PipelineError


def counting(seen: list[str], name: str, stop: int = 1000) -> Paced:
    def loop(tick: Tick) -> None:
        for step in range(stop):
            seen.append(f"{name}{step}")
            tick()

    return Paced(loop)


def test_loops_advance_in_turns() -> None:
    seen: list[str] = []
    before = threading.active_count()
    one, two = counting(seen, "a"), counting(seen, "b")
    for _ in range(2):
        one.advance(2)
        two.advance()
    assert seen == ["a0", "a1", "b0", "a2", "a3", "b1"]
    one.close()
    two.close()
    assert threading.active_count() == before
    counting(seen, "never").close()
    assert "never0" not in seen


def test_what_a_loop_raises_is_raised_where_it_is_advanced() -> None:
    def broken(tick: Tick) -> None:
        tick()
        raise ValueError("no more text")

    loop = Paced(broken)
    loop.advance()
    for _ in range(2):
        with pytest.raises(ValueError, match="no more text"):
            loop.advance()
    with pytest.raises(PipelineError, match="ended before its measurement did"):
        counting([], "a", stop=2).advance(3)


def test_rounds_count_each_programs_own_tokens() -> None:
    seen: dict[str, int] = {"a": 0, "b": 0}

    def program(name: str, tokens: int, steps: int) -> Program:
        def loop(tick: Tick) -> None:
            while True:
                seen[name] += tokens
                tick()

        return Program(loop=Paced(loop), seen=lambda: seen[name], steps=steps)

    found = timed(
        {"a": program("a", 10, 1), "b": program("b", 7, 3)}, Plan(warmup=1, runs=4), torch.device("cpu")
    )
    assert found["a"].tokens == (10,) * 4
    assert found["b"].tokens == (21,) * 4
    assert len(found["b"].nanoseconds) == 4
    assert seen == {"a": 50, "b": 105}


SLOW = Timed(nanoseconds=(4_000_000, 8_000_000, 4_000_000), tokens=(100, 200, 100))
FAST = Timed(nanoseconds=(1_000_000, 2_000_000, 1_000_000), tokens=(50, 100, 50))


def test_ratios_are_of_rates_in_the_same_round() -> None:
    assert SLOW.per_token == [40_000.0] * 3
    assert SLOW.tokens_per_second == pytest.approx(25_000)
    assert times_faster(SLOW, FAST).as_tuple() == pytest.approx((2.0, 2.0, 2.0))
    slower = Timed(nanoseconds=(2_000_000, 2_000_000, 1_000_000), tokens=(50, 100, 50))
    ratio = times_faster(SLOW, slower)
    assert ratio.value == pytest.approx(2.0)
    assert ratio.low == pytest.approx(1.0)


def test_lines_hold_the_rate_against_the_peak_of_their_precision() -> None:
    student, teacher = Shape(layers=1, hidden=4, neurons=8), Shape(layers=2, hidden=4, neurons=8)
    lines = judged_lines(
        {"plain": SLOW, "ours": FAST},
        "plain",
        {"plain": "float32", "ours": "bfloat16"},
        {"plain": teacher, "ours": None},
        student,
        [3],
        {"float32": 1e9, "bfloat16": 4e9},
    )
    forward = (2 * 3 * (4 * 16 + 2 * 32) + 4 * 9 * 4) / 3
    assert [line.flops_per_token for line in lines] == pytest.approx([5 * forward, 3 * forward])
    assert lines[0].share_of_peak == pytest.approx(25_000 * 5 * forward / 1e9)
    assert lines[1].share_of_peak == pytest.approx(50_000 * 3 * forward / 4e9)
    assert lines[0].times is None
    assert lines[1].times == pytest.approx((2.0, 2.0, 2.0))
    assert len(line_table("both", lines, "about").rows) == 2


def test_an_effective_batch_is_made_of_whole_batches() -> None:
    assert bench_distil.accumulated(128, 32_768) == 16
    assert bench_distil.accumulated(1, 32_768) == 1
    on_gpu = bench_distil.qa_options("bert-base", "cuda", 160.0)
    assert on_gpu.accumulate * on_gpu.tokens_per_batch == pytest.approx(4096 * 160, rel=0.05)
    assert on_gpu.train_word_embeddings
    assert not bench_distil.qa_options("pocket", "cpu", 160.0).train_word_embeddings


def test_a_text_of_a_size_is_streamed(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    memory.write_text(text, 20_000, ["One mill stood here.", "Another stood there."])
    assert 20_000 <= text.stat().st_size < 20_100
    assert memory.stream(text) > 3000
