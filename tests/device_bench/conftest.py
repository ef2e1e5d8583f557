"""A tiny bundle with a real program, and runners that do as a test tells them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from transformers import PreTrainedTokenizerBase

import exporters.base as exporters
from device_bench.devices import base
from exporters.base import INPUTS, PER_TOKEN
from exporters.onnx import LONGEST_KEY
from pipeline import bundles, golden
from pipeline.recipe import Task
from pipeline.tasks.methods import methods_of
from pipeline.tasks.squad import Question
from tests.device_bench.fakes import Fake, Install

LONGEST, WIDTH = 64, 16
QUESTIONS = (
    ("When was the mill built?", "The old mill was built in 1858 by the river, near a bridge."),
    ("What is it by?", "The tower is by the bridge, and the mill is by the river."),
)
PRELUDE = """
import json, os, signal, sys, time
def say(**event):
    print(json.dumps(event), flush=True)
def loaded(**more):
    say(**{"event": "loaded", "runtime": "Fake 1.0", "load_ns": 7, "threads": 1, "delegate": None, **more})
def ran(query, ns=1000, length=8):
    say(event="ran", query=query, ns=ns, length=length)
def asked():
    word, _, number = sys.stdin.readline().strip().partition(" ")
    return int(number) if word == "run" else word or None
"""
"""What a fake runner's script begins with."""
OBEDIENT = """
loaded()
while isinstance(query := asked(), int):
    ran(query)
if query == "end":
    say(event="ended", peak_resident_bytes=4096)
"""


def command(script: str, *arguments: object) -> list[str]:
    """How a fake runner is started."""
    return [sys.executable, "-S", "-E", "-c", PRELUDE + script, *map(str, arguments)]


def write_program(path: Path, vocabulary: int) -> int:
    """A table of tokens, a linear, and no layer between them; the number of its parameters."""
    random = np.random.default_rng(5)
    table = random.normal(size=(vocabulary, WIDTH)).astype(np.float32)
    weight = random.normal(size=(WIDTH, 2)).astype(np.float32)
    tokens = [helper.make_tensor_value_info(name, onnx.TensorProto.INT32, [1, "seq"]) for name in INPUTS]
    logits = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, "seq"]) for name in PER_TOKEN]
    nodes = [
        helper.make_node("Gather", ["table", INPUTS[0]], ["states"]),
        helper.make_node("MatMul", ["states", "weight"], ["scores"]),
        helper.make_node("Cast", [INPUTS[1]], ["mask"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["scores", "column"], ["kept"]),
        helper.make_node("Split", ["kept"], ["start", "end"], axis=2, num_outputs=2),
        *(helper.make_node("Squeeze", [name.split("_")[0], "last"], [name]) for name in PER_TOKEN),
    ]
    constants = {"table": table, "weight": weight, "last": np.array([2], np.int64)}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", tokens, logits, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {LONGEST_KEY: str(LONGEST)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return table.size + weight.size


@pytest.fixture(scope="session")
def made_bundle(
    tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, tokenizer: PreTrainedTokenizerBase
) -> Path:
    """A bundle for ONNX Runtime in float32, whole but for its model card."""
    folder = tmp_path_factory.mktemp("onnx") / "bundle"
    folder.mkdir()
    program = folder / "small.onnx"
    parameters = write_program(program, len(tokenizer))
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(encoder_folder / name, folder / name)
    task = Task(max_length=LONGEST, stride=16)
    runner = exporters.get("onnx").runner(program)
    examples = [Question(f"q{number}", asked, passage, ()) for number, (asked, passage) in enumerate(QUESTIONS)]
    cases = golden.cases(examples, runner, tokenizer, methods_of(task))
    (folder / bundles.GOLDEN).write_text(json.dumps({"cases": cases}), encoding="utf-8")
    bundles.write_manifest(
        folder,
        {
            "name": "small",
            "target": "onnx",
            "task": "question-answering",
            "program": program.name,
            "windows": task.model_dump(mode="json"),
            "lengths": bundles.lengths_field(runner.lengths),
            "metrics": {},
            "verified": True,
            "precision": "float32",
            "parameters": parameters,
            "multiply_adds": {"per_token": 7000, "per_pair": 64},
        },
    )
    return folder


@pytest.fixture
def bundle(made_bundle: Path, tmp_path: Path) -> Path:
    """A copy, the test's own to spoil."""
    return shutil.copytree(made_bundle, tmp_path / "bundle")


@pytest.fixture
def baseline(made_bundle: Path, tmp_path: Path) -> Path:
    """The same program as a baseline of random weights."""
    folder = shutil.copytree(made_bundle, tmp_path / "baseline")
    rewrite(folder, lambda manifest: manifest.update(name="other", random_weights=True, verified=False))
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """A bundle with another manifest, sealed anew."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    change(manifest)
    for made in ("files", "seal", "format"):
        manifest.pop(made)
    file.unlink()
    bundles.write_manifest(folder, manifest)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a kind of device of these."""

    def add(kind: str, *devices: Fake) -> None:
        module: Any = ModuleType(f"device_bench.devices.{kind}")
        module.find = lambda kind, which, cache: devices
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(base, "KINDS", {**base.KINDS, kind: "a fake"})

    return add
