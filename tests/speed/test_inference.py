"""Programs of the tools' flows answer as the torch model does; memory is measured; cases are what they say."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import recipe
from pipeline.numerics import sqnr_db
from pipeline.speed import arithmetic, defaults, inference, loading, runtimes
from pipeline.speed.encoders import NAMES, Encoder, encoder
from pipeline.speed.inference import Loaded
from pipeline.speed.records import Program
from pipeline.types import MissingTool, UsageError

LENGTH = 24
"""Of the defaults here; the real window is shorter."""
REAL = 17


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return encoder("tiny")


def window() -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(0).integers(1000, 30000, size=(1, REAL)).astype(np.int32)
    return ids, np.ones_like(ids)


def arrays(outputs: Any) -> list[np.ndarray]:
    """Start and end logits as a runtime gives them: by name, as tensors, or as arrays."""
    found = [outputs[name] for name in sorted(outputs)] if isinstance(outputs, dict) else outputs
    return [np.asarray(one)[:, :REAL] for one in found]


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES)
def test_a_default_program_answers_as_the_published_model_does(
    runtime: str, tiny: Encoder, tmp_path: Path
) -> None:
    model, path = tiny.published(), tmp_path / f"tiny{defaults.TOOLS[runtime].suffix}"
    defaults.convert(runtime, defaults.FourDimensionalMask(model).eval(), defaults.window(LENGTH), path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    program = Program(
        model="tiny",
        runtime=runtime,
        maker="default",
        length=LENGTH,
        path=path,
        size_bytes=path.stat().st_size,
    )
    runtimes.check(runtime)
    loaded = Loaded(program, threads=1)
    assert loaded.runs_at(REAL) == (REAL if runtime == "onnxruntime" else LENGTH)
    ids, mask = window()
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
    start, end = arrays(loaded.call(ids, mask))
    for found, logits in ((start, wanted.start_logits), (end, wanted.end_logits)):
        assert sqnr_db(logits.numpy(), found) > 15


@pytest.mark.parametrize("name", ["tiny", "bert"])
def test_our_graph_computes_what_the_published_model_does(name: str, tiny: Encoder) -> None:
    one = tiny
    if name == "bert":
        config = encoder("pocket").config
        config.update(
            {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "initializer_range": 0.2}
        )
        one = Encoder(name=name, title=name, config=config)
    ids, mask = (torch.from_numpy(array) for array in window())
    with torch.no_grad():
        wanted = one.published()(input_ids=ids, attention_mask=mask)
        start, end = one.student()(ids, mask)
    assert torch.allclose(start, wanted.start_logits, atol=1e-4)
    assert torch.allclose(end, wanted.end_logits, atol=1e-4)
    assert float(wanted.start_logits.std()) > 0.1


def test_pocket_has_the_shape_that_its_recipe_leaves() -> None:
    asked, shape = recipe.load("pocket"), encoder("pocket").shape
    assert (shape.layers, shape.hidden) == (len(asked.student.layers), 384)
    assert shape.neurons % 16 == 0
    assert shape.neurons == pytest.approx(asked.prune.keep_neurons * 1536, abs=8)
    assert encoder("distilbert").shape == arithmetic.Shape(layers=6, hidden=768, neurons=3072, labels=2)
    with pytest.raises(UsageError, match=f"{', '.join(NAMES)}, got 'bert'"):
        encoder("bert")


def test_a_missing_peer_is_a_sentence_with_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "MAKES", {"onnxruntime": ("no_such_package",)})
    with pytest.raises(MissingTool, match=r"no_such_package.*pip install.*--targets"):
        runtimes.check("onnxruntime")


def test_memory_above_a_moment_is_what_was_taken_since() -> None:
    memory = loading.Memory()
    # What is freed of a mapping goes back to the system at once.
    held = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(50):
        held.write(b"1" * 1_000_000)
    resident, anonymous = memory.resident(), memory.anonymous()
    held.close()
    after, peak = memory.resident(), memory.peak()
    assert None not in (resident, anonymous, after, peak)
    assert 45e6 < (resident or 0) < 60e6
    assert 45e6 < (anonymous or 0) < 60e6
    assert (after or 0) < 15e6
    assert 45e6 < (peak or 0) < 65e6


def test_no_proc_is_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SMAPS", "STATUS", "CLEAR"):
        monkeypatch.setattr(loading, name, tmp_path / name)
    memory = loading.Memory()
    assert (memory.resident(), memory.peak(), memory.anonymous()) == (None, None, None)


class Fake(Loaded):
    """A program that notes the lengths it is called at."""

    def __init__(self, runtime: str, maker: str, lengths: tuple[int, ...] | None) -> None:
        self.program = Program(
            model="tiny", runtime=runtime, maker=maker, length=64, path=Path("a"), size_bytes=1
        )
        self.lengths, self.seen = lengths, list[int]()

        def call(ids: np.ndarray, mask: np.ndarray) -> None:
            self.seen.append(ids.shape[1])

        self.call: Callable[[np.ndarray, np.ndarray], object] = call


def test_every_length_that_is_used_is_warmed_up() -> None:
    windows = [loading.ones(length) for length in (20, 60, 25, 33, 30)]
    ours = Fake("tiny", "ours", (16, 32, 48, 64))
    warm = inference.warming(windows, [ours, Fake("tiny", "default", (64,))])
    assert [ids.shape[1] for ids, _ in warm] == [20, 25, 30, 60, 32, 48, 64]
    any_length = Fake("tiny", "ours", tuple(range(2, 65)))
    assert [ids.shape[1] for ids, _ in inference.warming(windows, [any_length])] == [20, 25, 30, 60]


def test_a_case_is_between_programs_made_for_its_length() -> None:
    ours, long, short, peer = (
        Fake("tflite", "ours", (32, 64)),
        Fake("tflite", "default", (64,)),
        Fake("tflite", "default", (32,)),
        Fake("onnxruntime", "default", None),
    )
    assert inference._at([ours, long, short, peer], 64) == [ours, long, peer]
    assert inference._at([ours, long, short, peer], 32) == [ours, short, peer]
    assert [ours.runs_at(20), long.runs_at(20), peer.runs_at(20)] == [32, 64, 20]
    plan = inference.TimePlan(
        runtime="tflite",
        threads=1,
        warmup=1,
        rounds=2,
        lengths=(64,),
        windows=(),
        programs=(),
        linear=ours.program,
    )
    windows = [loading.ones(length) for length in (20, 60, 25)]
    case = inference._case(plan, "tiny", inference.REAL, [ours, long], windows, [loading.ones(64)])
    assert ours.seen == long.seen == [64, 20, 60, 25]
    assert case.lengths == (20, 60, 25)
    assert case.runs_at == {"tflite ours": (32, 64, 32), "tflite default": (64, 64, 64)}
    assert {len(samples) for samples in case.samples_ns.values()} == {3}


def test_a_rate_is_flops_over_the_fastest_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "PEAK_SECONDS", 0.02)
    assert arithmetic.int8_rate() > 1e6
    assert arithmetic.linear_flops() == 2 * 384 * 768 * 3072
    calls: list[int] = []
    rate = arithmetic.best_rate(lambda: calls.append(1), 7.0)
    assert rate > 7.0
    assert len(calls) > 1
