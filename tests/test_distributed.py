"""Two gloo processes against one: the same loss curve, the same weights, one bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from pipeline import distributed, training
from pipeline.recipe import Launch, Teach
from pipeline.types import UsageError

ROOT = Path(__file__).parents[1]
TRAIN = """
import json, os, sys
from pathlib import Path
import torch
from pipeline import distributed, training
from pipeline.recipe import Checkpoint, Launch, Questions, Task, Teach as Settings
from pipeline.stages.teach import Teach
from pipeline.tasks.dataset import QuestionSet
from pipeline.types import Silent

given = json.loads(sys.argv[1])
if given["shard_on_cpu"]:
    import accelerate.state
    from accelerate.utils import DistributedType
    begin = accelerate.state.PartialState.__init__
    def as_if_gpus(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU
    accelerate.state.PartialState.__init__ = as_if_gpus
    gather = training._gather
    def checked(trainer, model):
        kinds = {type(p).__name__ for p in trainer.model_wrapped.parameters()}
        assert kinds == {"DTensor"}, kinds
        gather(trainer, model)
    training._gather = checked

torch.set_num_threads(1)
work = Path(given["work"])
out = work / f"out{os.environ.get('RANK', '')}"
out.mkdir(parents=True)
Teach(
    encoder=Checkpoint(source=given["encoder"]),
    questions=QuestionSet(Questions(source=given["questions"])),
    task=Task(max_length=96, stride=16),
    options=Settings(**given["settings"]),
    seed=0,
    launch=Launch(**given["launch"]),
).run(out, work, Silent())
distributed.leave()
"""
SETTINGS = {"epochs": 8, "learning_rate": 4e-3, "tokens_per_batch": 128, "accumulate": 2, "dropout": 0.0}


@dataclass(frozen=True)
class Result:
    losses: list[float]
    weights: dict[str, torch.Tensor]


def launch(processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """`words` under torchrun, or plainly where one process is asked for."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else []), *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "teach.py"
    path.write_text(TRAIN, encoding="utf-8")
    return path


def teach(
    script: Path,
    work: Path,
    encoder: Path,
    questions: Path,
    processes: int,
    launched: Mapping[str, object] | None = None,
    *,
    shard_on_cpu: bool = False,
) -> Result:
    given = {
        "work": str(work),
        "encoder": str(encoder),
        "questions": str(questions),
        "settings": SETTINGS,
        "launch": launched or {},
        "shard_on_cpu": shard_on_cpu,
    }
    done = launch(processes, str(script), json.dumps(given))
    assert done.returncode == 0, done.stderr[-3000:]
    history = json.loads((work / "history.json").read_text(encoding="utf-8"))
    out = work / ("out0" if processes > 1 else "out")
    return Result([entry["loss"] for entry in history], load_file(out / "model.safetensors"))


@pytest.fixture(scope="module")
def alone(
    script: Path, encoder_folder: Path, question_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    """One process that accumulates two micro-batches a step."""
    return teach(script, tmp_path_factory.mktemp("alone"), encoder_folder, question_file, 1)


def test_two_processes_train_as_one_does(
    alone: Result, script: Path, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    both = teach(script, tmp_path, encoder_folder, question_file, 2)
    assert len(alone.losses) >= 10
    assert both.losses == pytest.approx(alone.losses, abs=1e-5)
    for name, weight in alone.weights.items():
        torch.testing.assert_close(both.weights[name], weight, atol=1e-6, rtol=0, msg=name)


def test_two_processes_with_sharded_weights_train_as_one_does(
    alone: Result, script: Path, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    """accelerate shards over GPUs only; told that these were some, it does so with gloo as well."""
    sharded = teach(
        script,
        tmp_path,
        encoder_folder,
        question_file,
        2,
        {"fsdp": True, "gradient_checkpointing": True},
        shard_on_cpu=True,
    )
    assert sharded.losses == pytest.approx(alone.losses, abs=1e-4)
    # A softmax does not see what is added to all its inputs, so these have no gradient but rounding, which
    # Adam scales up to whole steps.
    shifts = ("key.bias", "qa_outputs.bias", "layer.3.output.LayerNorm.bias")
    for name, weight in alone.weights.items():
        if not name.endswith(shifts):
            torch.testing.assert_close(sharded.weights[name], weight, atol=1e-3, rtol=0, msg=name)


def test_a_whole_run_on_two_processes_makes_one_bundle(tmp_path: Path) -> None:
    trained = {"epochs": 1, "tokens_per_batch": 512, "accumulate": 2}
    recipe = {
        "name": "two",
        "description": "tiny on two processes",
        "task": {"max_length": 64, "stride": 16},
        "data": {
            "train": {"source": "practice", "limit": 12},
            "eval": {"source": "passages", "limit": 4},
            "calibration": {"source": "practice", "limit": 3},
        },
        "teacher": {"source": "tiny-encoder", "weights": "random"},
        "teach": trained,
        "distil": trained,
        "verify": {
            "questions": 2,
            "emulated_questions": 2,
            "golden_cases": 2,
            "max_f1_drop": 100.0,
            "min_span_agreement": 0.01,
            "min_float_agreement": 0.01,
            "min_sqnr_db": -10.0,
        },
        "bench": {"baseline": "bert-tiny", "length": 64, "runs": 2, "warmup": 1},
    }
    toml = tmp_path / "two.toml"
    toml.write_text(tomli_w.dumps(recipe), encoding="utf-8")
    store, out = tmp_path / "store", tmp_path / "out"
    flags = ("--recipe", str(toml), "--target", "coreml", "--out", str(out), "--store", str(store))
    done = launch(2, "-m", "pipeline.run", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("  teach  ") == done.stdout.count("bundle  coreml ") == 1
    assert (out / "coreml" / "manifest.json").is_file()
    assert (out / "report.html").read_text(encoding="utf-8").count("<h1>") == 1
    assert not any((store / "work").iterdir())
    again = launch(2, "-m", "pipeline.run", *flags, "--dry-run")
    assert "--dry-run is for one process" in again.stderr


def test_what_cannot_be_shared_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "processes", lambda: 4)
    assert training._share(Teach(accumulate=8), 100) == 2
    with pytest.raises(UsageError, match=r"4 processes cannot share the 6 micro-batches .* multiple of 4"):
        training._share(Teach(accumulate=6), 100)
    with pytest.raises(UsageError, match="the data make 3 batches, too few for one step of 4"):
        training._share(Teach(accumulate=4), 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="float16 trains on CUDA")
def test_float16_is_refused_without_cuda() -> None:
    with pytest.raises(UsageError, match="set precision to 'bfloat16'"):
        training._share(Teach(precision="float16"), 100)


def test_one_process_has_nobody_to_share_a_model_with() -> None:
    with pytest.raises(UsageError, match="start it with torchrun"):
        training._is_sharded(Launch(fsdp=True))


def test_a_single_process_is_alone() -> None:
    distributed.join()
    assert distributed.processes() == 1
    assert distributed.is_first()
    assert distributed.agreed("this") == "this"
    assert distributed.total(3) == 3
    with distributed.first_goes_first():
        distributed.wait()
    distributed.leave()
