"""What every exporter owes: the same answers as torch, every length, the same bytes twice, plain refusals."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters import base
from exporters.base import ALL, TARGETS, Lowered, Readable, Runner
from pipeline.models.student import StudentModel
from pipeline.types import MissingTool, Quantization, Student, TensorPlan, UsageError
from tests.exporters.conftest import KEPT, MAX_LENGTH, VOCABULARY

# Largest difference from torch's logits, whose spread is about 1. Dynamic int8 rounds what enters a linear
# to 255 steps; Core ML computes in float16.
MOST_GRAPH_BYTES = 1200
GRAPH_BYTES = {"executorch-coreml": 1600}  # a package inside a program
"""What int8 costs a program beside weights and scales: its operations, blob headers, alignment."""
TOLERANCE = 0.1
PADDING_TOLERANCE = {
    "coreml": 0.02,
    "executorch": 1e-4,
    "tflite": 1e-4,
    "onnx": 0.1,  # one scale for all tokens, padding among them
    "executorch-coreml": 0.02,
}
RUN_HERE = tuple(name for name in TARGETS if base.find(name).why_not_run() is None)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Each target whose packages are installed."""
    return installed(str(request.param))


@pytest.fixture(params=RUN_HERE)
def running(request: pytest.FixtureRequest) -> str:
    """Each of them whose programs can be run on this machine."""
    return installed(str(request.param))


def installed(name: str) -> str:
    try:
        base.get(name)
    except MissingTool as error:
        pytest.skip(str(error))
    return name


@pytest.fixture(scope="session")
def loaded(program: Callable[..., Lowered]) -> Callable[..., Runner]:
    @functools.cache
    def opened(target: str, kept: bool) -> Runner:
        return base.get(target).runner(program(target, kept).path)

    return lambda target, kept=False: opened(target, kept)


@pytest.fixture
def runner(running: str, loaded: Callable[..., Runner]) -> Runner:
    return loaded(running)


def window(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Random ids and a full mask, int32 (1, length) each."""
    ids = np.random.default_rng(length).integers(0, VOCABULARY, (1, length)).astype(np.int32)
    return ids, np.ones_like(ids)


def off_by(runner: Runner, student: Student, ids: np.ndarray, mask: np.ndarray) -> float:
    """Largest difference from torch's logits."""
    with torch.inference_mode():
        expected = student.module(torch.from_numpy(ids), torch.from_numpy(mask))
    got = runner(ids, mask)
    assert all(np.isfinite(logits).all() for logits in got)
    return max(float(np.abs(g - e.numpy()).max()) for g, e in zip(got, expected, strict=True))


def digests(program: Path) -> dict[str, str]:
    """File inside the program → SHA-256."""
    files = [program] if program.is_file() else sorted(path for path in program.rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("length", [1, 2, 7, 33, MAX_LENGTH])
def test_answers_as_torch_does_at_every_length(runner: Runner, tiny: Student, length: int) -> None:
    assert off_by(runner, tiny, *window(length)) < TOLERANCE


def test_logits_are_float32_as_long_as_the_window(runner: Runner) -> None:
    for logits in runner(*window(9)):
        assert logits.shape == (1, 9)
        assert logits.dtype == np.float32


def test_a_classifier_gives_its_logits_at_every_length(
    running: str, tiny_classifier: Student, tmp_path: Path
) -> None:
    exporter = base.get(running)
    runner = exporter.runner(exporter.lower(tiny_classifier, tmp_path).path)
    assert isinstance(tiny_classifier.module, StudentModel)
    labels = tiny_classifier.module.config.labels
    for length in (1, 2, 7, MAX_LENGTH):
        (logits,) = runner(*window(length))
        assert logits.shape == (1, labels)
        assert logits.dtype == np.float32
        assert off_by(runner, tiny_classifier, *window(length)) < TOLERANCE


def test_the_outputs_of_no_task_are_refused() -> None:
    assert base.signature(["end_logits", "start_logits"]) == ("start_logits", "end_logits")
    with pytest.raises(UsageError, match="the program gives logits, other, which is no task's outputs"):
        base.signature(["other", "logits"])


def test_lengths_ascend_to_the_students_longest(runner: Runner) -> None:
    assert runner.lengths[-1] == MAX_LENGTH
    assert list(runner.lengths) == sorted(set(runner.lengths))


@pytest.mark.parametrize("token", [0, VOCABULARY - 1])
def test_the_first_and_the_last_token_of_the_vocabulary(runner: Runner, tiny: Student, token: int) -> None:
    ids, mask = window(12)
    ids[:, 3:9] = token
    assert off_by(runner, tiny, ids, mask) < TOLERANCE


def test_padding_leaves_the_logits_alone(running: str, runner: Runner) -> None:
    ids, mask = window(20)
    wide = tuple(np.pad(array, ((0, 0), (0, 21))) for array in (ids, mask))
    for short, long in zip(runner(ids, mask), runner(*wide), strict=True):
        np.testing.assert_allclose(long[:, :20], short, atol=PADDING_TOLERANCE[running])


def test_asking_twice_gives_the_same_logits(runner: Runner) -> None:
    first = runner(*window(15))
    runner(*window(40))
    for once, again in zip(first, runner(*window(15)), strict=True):
        np.testing.assert_array_equal(once, again)


def test_a_window_too_long_is_refused(runner: Runner) -> None:
    with pytest.raises(UsageError, match=f"65 tokens are more than the program's {MAX_LENGTH}"):
        runner(*window(MAX_LENGTH + 1))


def test_the_record_says_what_was_made_with_what(target: str, program: Callable[..., Lowered]) -> None:
    lowered, exporter = program(target), base.get(target)
    files = [lowered.path] if lowered.path.is_file() else list(lowered.path.rglob("*"))
    assert lowered.target == exporter.target == target
    assert lowered.path.name == f"tiny{exporter.suffix}"
    assert lowered.size_bytes == sum(path.stat().st_size for path in files if path.is_file())
    assert set(lowered.tools) == set(exporter.packages)
    assert all(lowered.tools.values())


def test_weights_kept_in_float_are_larger_and_still_answer(
    running: str, program: Callable[..., Lowered], loaded: Callable[..., Runner], tiny_kept: Student
) -> None:
    kept = [tiny_kept.module.get_parameter(f"{path}.weight") for path in KEPT]
    second_bytes, scales = sum(w.numel() for w in kept), 3 * sum(w.shape[0] for w in kept)
    grown = program(running, kept=True).size_bytes - program(running).size_bytes
    assert grown > second_bytes - scales - GRAPH_BYTES.get(
        running, MOST_GRAPH_BYTES
    )  # at least float16 in place of int8
    assert off_by(loaded(running, kept=True), tiny_kept, *window(33)) < TOLERANCE


def test_lowering_twice_gives_the_same_bytes_silently_and_leaves_the_student_alone(
    target: str,
    program: Callable[..., Lowered],
    tiny: Student,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.module.state_dict().items()}
    first = program(target)
    capfd.readouterr()
    again = base.get(target).lower(tiny, tmp_path)
    assert capfd.readouterr() == ("", "")
    for made, once in zip((again.path, *again.companions), (first.path, *first.companions), strict=True):
        assert digests(made) == digests(once)
    assert not tiny.module.training
    after = tiny.module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("name", "axis", "said"),
    [
        ("layers.7.attention.query.weight", 0, "names layers.7.attention.query.weight, which the student does"),
        ("qa_outputs.weight", 1, "scales along axis 0, but qa_outputs.weight has axis 1"),
    ],
)
def test_a_record_that_does_not_fit_the_student_is_refused(
    target: str, tiny: Student, tmp_path: Path, name: str, axis: int, said: str
) -> None:
    plan = TensorPlan(role="linear", dtype="int8", axis=axis, activations="dynamic-int8")
    record = Quantization(tensors={**tiny.quantization.tensors, name: plan})
    with pytest.raises(UsageError, match=said):
        base.get(target).lower(dataclasses.replace(tiny, quantization=record), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_a_missing_package_is_one_sentence_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(MissingTool, match=rf"target {name} needs the package \w+, .* pip install .*\[{name}\]"):
        base.get(name)


@pytest.mark.parametrize("name", TARGETS)
def test_importing_an_exporter_loads_no_converter(name: str) -> None:
    heavy = ["torch", "coremltools", "executorch", "torchao", "litert_torch", "ai_edge_litert", "jax"]
    heavy += ["onnx", "onnxruntime", "onnxscript", "coreai", "coreai_torch"]
    module = f"exporters.{name.replace('-', '_')}"
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    root = Path(base.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def test_a_target_that_cannot_be_run_says_why_and_can_be_read() -> None:
    for name in sorted(set(TARGETS) - set(RUN_HERE)):
        exporter = base.find(name)
        why_not = exporter.why_not_run()
        assert why_not
        assert isinstance(exporter, Readable)
        with pytest.raises(MissingTool) as caught:
            exporter.runner(Path("any"))
        assert str(caught.value) == why_not


def test_all_stands_for_every_target_that_is_not_experimental() -> None:
    assert base.parse_targets("all") == ALL
    assert set(TARGETS) - set(ALL) == {"coreai"}
    assert base.parse_targets("coreai, onnx,onnx") == ("coreai", "onnx")


def test_a_script_in_the_folder_of_exporters_shadows_no_library() -> None:
    """`exporters/onnx.py` and `exporters/coreai.py` are named as what they import."""
    code = "import exporters.onnx, exporters.coreai, onnx, sys; print(onnx.__file__)"
    root = Path(base.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert "site-packages" in done.stdout
    assert not any(Path(entry).resolve() == root / "exporters" for entry in sys.path)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(
        UsageError, match="unknown target 'openvino'; targets are coreml, executorch, tflite, onnx"
    ):
        base.get("openvino")
