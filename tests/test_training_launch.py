"""Resuming with dynamic masking, checkpoints by the clock, metrics elsewhere, and what stops a run."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.recipe import Checkpoint, Corpus, Launch, Pretrain, StudentShape
from pipeline.stages import pretrain
from pipeline.tasks.corpus import CorpusText
from pipeline.types import MissingTool, PipelineError, Silent

ROOT = Path(__file__).parents[1]
OPTIONS = {
    "epochs": 6,
    "learning_rate": 1e-3,
    "length": 32,
    "tokens_per_batch": 128,
    "mask": 0.3,
    "soft": 0.0,
    "mlm": 1.0,
    "dropout": 0.1,
}
KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from tests.test_training_launch import run
from pipeline.types import Silent

class Killer(Silent):
    def update(self, done, total, note=""):
        if "tokens/s" in note and done == 14:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
run(*map(Path, sys.argv[1:]), Killer())
"""


def run(
    encoder: Path, text: Path, work: Path, progress: Silent, launch: Launch | None = None
) -> dict[str, torch.Tensor]:
    out = work / "out"
    out.mkdir(parents=True, exist_ok=True)
    pretrain.Pretrain(
        encoder=Checkpoint(source=str(encoder)),
        corpus=CorpusText(Corpus(source=str(text))),
        shape=StudentShape(),
        options=Pretrain.model_validate({**OPTIONS, "corpus": {"source": str(text)}}),
        seed=0,
        launch=launch or Launch(save_steps=5),
    ).run(out, work, progress)
    weights: dict[str, torch.Tensor] = load_file(out / "model.safetensors")
    return weights


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    lines = (f"the old mill by the river was built in 18{n} and it is light" for n in range(10, 50))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


class Heard(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.notes: list[str] = []

    def update(self, done: float, total: float, note: str = "") -> None:
        self.notes.append(note)

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def test_a_killed_run_on_a_corpus_goes_on_to_the_same_bits(
    encoder_folder: Path, text: Path, tmp_path: Path
) -> None:
    """Masks are drawn anew in every epoch, words are trained, and dropout is on."""
    torch.set_num_threads(1)
    whole = run(encoder_folder, text, tmp_path / "whole", Silent())
    work = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, encoder_folder, text, work],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    heard = Heard()
    resumed = run(encoder_folder, text, work, heard)
    assert heard.sentences == ["going on from checkpoint-10"]
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert "tokens/s" in heard.notes[-1]
    assert heard.notes[-1].endswith("0.0 s left")
    logs = [json.loads((folder / "history.json").read_text()) for folder in (tmp_path / "whole", work)]
    differ = [one["step"] for one, other in zip(*logs, strict=True) if one != other]
    assert differ == [12]  # the first after going on: a mean over steps 11 and 12, without 10
    assert set(logs[0][0]) == {"step", "loss", "learning_rate"}


def test_checkpoints_by_the_clock(encoder_folder: Path, text: Path, tmp_path: Path) -> None:
    run(encoder_folder, text, tmp_path, Silent(), Launch(save_steps=10_000, save_minutes=1e-9))
    found = sorted(int(path.name.split("-")[1]) for path in (tmp_path / "checkpoints").iterdir())
    assert len(found) == 2  # the last two; one at the end alone would be one
    assert all((path / "whole.json").is_file() for path in (tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("tool", ["tensorboard", "wandb"])
def test_a_tool_that_is_not_installed_is_named(
    tool: str, encoder_folder: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: (name != tool and found(name, *rest)) or None
    )
    launch = Launch.model_validate({"report_to": tool})
    with pytest.raises(MissingTool, match=rf"pip install -e '\.\[{tool}\]'") as caught:
        run(encoder_folder, text, tmp_path, Silent(), launch)
    assert caught.value.exit_code == 3


def test_losses_go_to_tensorboard(encoder_folder: Path, text: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    work = tmp_path / "work"
    run(encoder_folder, text, work, Silent(), Launch(report_to="tensorboard", logs=str(tmp_path / "logs")))
    events = EventAccumulator(str(tmp_path / "logs" / "work"))
    events.Reload()
    history = json.loads((work / "history.json").read_text(encoding="utf-8"))
    shown = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert shown == [(entry["step"], pytest.approx(entry["loss"], rel=1e-6)) for entry in history]


def test_a_failure_names_the_last_good_checkpoint(
    encoder_folder: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, calls = pretrain.general_loss, []

    def breaking(*given: object) -> object:
        loss = made(*given)  # type: ignore[arg-type]

        def later(*batch: object) -> torch.Tensor:
            calls.append(1)
            return loss(*batch) * (math.nan if len(calls) == 13 else 1.0)  # type: ignore[arg-type]

        return later

    monkeypatch.setattr(pretrain, "general_loss", breaking)
    with pytest.raises(PipelineError) as caught:
        run(encoder_folder, text, tmp_path, Silent())
    said = str(caught.value)
    assert "loss is nan at step 13, in the batch of examples" in said
    assert f"the last good checkpoint is {tmp_path / 'checkpoints' / 'checkpoint-10'}; " in said
