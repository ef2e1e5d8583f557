"""Every rule against an ONNX file with that fault, written with onnx.helper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.base import INPUTS, PER_TOKEN
from exporters.linting.checks import REQUIRED, RULES
from exporters.linting.inspection import inspect
from pipeline.types import Inspection, UsageError
from tests.exporters.linting.given import found, windows

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
TARGET = "onnx"


@dataclass(frozen=True)
class Made:
    """A question answerer of two int8 tables and a small head; each field is where a fault goes in."""

    mask: float = -1e4
    ids: str = "INT32"
    middle: str = "FLOAT"
    table: str = "int8"
    tables: int = 1
    length: int | str = "length"
    longest: str | None = "64"
    positions: int = 64
    names: tuple[str, ...] = PER_TOKEN
    head: tuple[int, int] = (0, 1)
    metadata: bool = True
    scale: float = 0.01
    kept: np.ndarray | None = None

    def model(self) -> Any:
        helper, numpy_helper, types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
        rng = np.random.default_rng(1)
        numbers = rng.integers(-127, 127, (200, 16)).astype(self.table)
        columns = rng.normal(size=(16, 2)).astype(np.float32)[:, list(self.head)]
        held: dict[str, np.ndarray] = {f"words {i}": numbers for i in range(self.tables)}
        held |= {
            "positions": rng.integers(-127, 127, (self.positions, 16)).astype(np.int8),
            "scale": np.array(self.scale, np.float32),
            "far": np.array(self.mask, np.float32),
            "one": np.array(1, np.float32),
            "columns": columns,
            "zero": np.array(0, np.int64),
            "step": np.array(1, np.int64),
            "last": np.array(1, np.int64),
            "ends": np.array([2], np.int64),
        }
        if self.kept is not None:
            held["kept"] = self.kept
        node = helper.make_node
        nodes = [
            *(node("Gather", [f"words {i}", "input_ids"], [f"word {i}"]) for i in range(self.tables)),
            node("Shape", ["input_ids"], ["shape"]),
            node("Gather", ["shape", "last"], ["length"]),
            node("Range", ["zero", "length", "step"], ["places"]),
            node("Gather", ["positions", "places"], ["position"]),
            node("Cast", ["word 0"], ["word float"], to=types.FLOAT),
            node("Cast", ["position"], ["position float"], to=types.FLOAT),
            node("Add", ["word float", "position float"], ["steps"]),
            node("Mul", ["steps", "scale"], ["small"]),
            node("Cast", ["small"], ["wide"], to=getattr(types, self.middle)),
            node("Cast", ["wide"], ["states"], to=types.FLOAT),
            node("MatMul", ["states", "columns"], ["both"]),
            node("Cast", ["attention_mask"], ["mask"], to=types.FLOAT),
            node("Sub", ["one", "mask"], ["hidden"]),
            node("Mul", ["hidden", "far"], ["penalty"]),
            node("Split", ["both"], ["left", "right"], axis=2, num_outputs=2),
            node("Squeeze", ["left", "ends"], ["start"]),
            node("Squeeze", ["right", "ends"], ["end"]),
            node("Add", ["start", "penalty"], [self.names[0]]),
            node("Add", ["end", "penalty"], [self.names[1]]),
        ]
        info = helper.make_tensor_value_info
        kinds = (getattr(types, self.ids), types.INT32)
        graph = helper.make_graph(
            nodes,
            "seed",
            [info(name, kind, [1, self.length]) for name, kind in zip(INPUTS, kinds, strict=True)],
            [info(name, types.FLOAT, [1, self.length]) for name in self.names],
            [numpy_helper.from_array(array, name) for name, array in held.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        if self.metadata:
            said = {**dict.fromkeys(REQUIRED[TARGET], "said"), "max_length": self.longest or ""}
            helper.set_model_props(model, said)
        return model

    def saved(self, folder: Path) -> Path:
        path = folder / "seed.onnx"
        path.write_bytes(self.model().SerializeToString())
        return path


class Runtime:
    """ONNX Runtime, as a runner."""

    lengths, emulated, note = tuple(range(1, 65)), False, ""

    def __init__(self, made: Made) -> None:
        self.session = onnxruntime.InferenceSession(made.model().SerializeToString())

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        feeds = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        return tuple(np.asarray(output) for output in self.session.run(list(PER_TOKEN), feeds))


CLEAN = Made()
SEEDS: dict[str, tuple[str, Made]] = {
    "infinite-constant": ("error", replace(CLEAN, mask=float("-inf"))),
    "fp16-overflow": ("warning", replace(CLEAN, mask=float(np.finfo(np.float32).min))),
    "int64-interface": ("error", replace(CLEAN, ids="INT64")),
    "float64": ("error", replace(CLEAN, middle="DOUBLE")),
    "wide-constant": ("note", replace(CLEAN, kept=np.arange(200))),
    "activation-range": ("warning", replace(CLEAN, scale=1e4)),
    "left-float": ("error", replace(CLEAN, table="float32")),
    "duplicated-constant": ("warning", replace(CLEAN, tables=2)),
    "unbounded-shape": ("note", replace(CLEAN, longest=None)),
    "beyond-positions": ("error", replace(CLEAN, longest="128")),
    "interface-names": ("error", replace(CLEAN, names=("output_0", "output_1"))),
    "outputs-swapped": ("error", replace(CLEAN, head=(1, 0))),
    "missing-metadata": ("warning", replace(CLEAN, metadata=False)),
}


def look(made: Made, folder: Path) -> Inspection:
    whole = Runtime(CLEAN)
    runner = Runtime(made) if made.names == PER_TOKEN and made.ids == "INT32" else None
    reference = [whole(*window) for window in windows()]
    return inspect(made.saved(folder), windows=windows(), reference=reference, runner=runner)


@pytest.mark.parametrize("rule", SEEDS)
def test_it_is_caught(rule: str, tmp_path: Path) -> None:
    severity, made = SEEDS[rule]
    findings = found(look(made, tmp_path), rule)
    assert findings, f"{rule} finds nothing"
    assert findings[0].severity == severity
    assert findings[0].sentence.endswith(RULES[rule].advice)
    assert findings[0].where


def test_a_clean_graph_has_no_findings(tmp_path: Path) -> None:
    assert not look(CLEAN, tmp_path).findings


def test_a_float_matrix_that_the_record_keeps(tmp_path: Path) -> None:
    made = replace(CLEAN, table="float32")
    (table,) = (each for each in made.model().graph.initializer if each.name == "words 0")
    kept = onnx.numpy_helper.to_array(table)
    assert not found(inspect(made.saved(tmp_path), kept=[kept]), "left-float")
    assert not found(inspect(made.saved(tmp_path), kept=[kept.T]), "left-float")
    assert found(inspect(made.saved(tmp_path), kept=[kept + 1]), "left-float")


def test_swapped_outputs_are_told_with_their_likeness(tmp_path: Path) -> None:
    first, second = found(look(replace(CLEAN, head=(1, 0)), tmp_path), "outputs-swapped")
    assert first.where == "output 0"
    assert "follow output 1 of the reference (correlation 1.000)" in first.sentence
    assert second.where == "output 1"


def test_without_windows_what_needs_them_is_said(tmp_path: Path) -> None:
    skipped = inspect(CLEAN.saved(tmp_path)).skipped
    assert skipped["activation-range"] == "no windows to run; lint a bundle, which has some"
    assert skipped["outputs-swapped"].startswith("no reference")
    assert skipped["outside-delegate"] == "does not apply to onnx"


@pytest.mark.parametrize("damage", [b"", b"not a program", b"\x08\x08\x12\xff\xff"])
def test_a_damaged_file_is_one_sentence(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(damage)
    with pytest.raises(UsageError, match=r"broken\.onnx .*export it again"):
        inspect(path)
