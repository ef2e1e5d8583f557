"""quantize: which weights lie on the int8 grid afterwards, which are left alone, and what the record says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.models import compressed, student
from pipeline.models.student import LayerShape, StudentConfig
from pipeline.recipe import Quantize as Settings
from pipeline.stages.quantize import Quantize
from pipeline.types import Artifact, RecipeError, Silent
from tests.stages.conftest import random_student

LINEARS = [
    f"layers.{i}.{part}"
    for i in range(2)
    for part in (
        *(f"attention.{name}" for name in ("query", "key", "value", "output")),
        "feed_forward.inner",
        "feed_forward.outer",
    )
] + ["qa_outputs"]
EMBEDDINGS = ["embeddings.word", "embeddings.position"]


@pytest.fixture(scope="module")
def pruned(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A student whose layers differ, in a folder with a tokenizer."""
    folder = tmp_path_factory.mktemp("pruned")
    student.save(random_student((LayerShape(2, 48), LayerShape(3, 16))), folder)
    for path in encoder_folder.glob("tokenizer*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return Artifact(kind="prune", path=folder, key="p", sha256="p", parents=(), metrics={})


def quantize(pruned: Artifact, out: Path, **options: Any) -> tuple[dict[str, np.ndarray], Mapping[str, float]]:
    out.mkdir(exist_ok=True)
    stage = Quantize(pruned=pruned, options=Settings(**options))
    metrics = stage.run(out, out, Silent())
    return load_file(str(out / "model.safetensors")), metrics


def on_grid(weight: np.ndarray) -> bool:
    """Whether every row is a scale times whole numbers up to 127, the largest of which is 127."""
    peak = np.abs(weight.astype(np.float64)).max(axis=1, keepdims=True)
    steps = weight / np.where(peak > 0, peak / 127, 1.0)
    return bool(np.abs(steps - np.round(steps)).max() < 1e-6)


def test_every_matrix_is_on_the_grid_and_near_where_it_was(pruned: Artifact, tmp_path: Path) -> None:
    before, (after, metrics) = load_file(str(pruned.path / "model.safetensors")), quantize(pruned, tmp_path)
    worst = math.inf
    for name, weight in before.items():
        if weight.ndim < 2:
            assert np.array_equal(after[name], weight), f"{name} is no matrix"
            continue
        assert not on_grid(weight)
        assert on_grid(after[name]), name
        step = np.abs(after[name]).max(axis=1, keepdims=True) / 127
        error = np.abs(after[name].astype(np.float64) - weight)
        assert (error <= 0.501 * step).all(), f"{name} is rounded to the nearest step"
        worst = min(worst, 10 * math.log10(float((weight.astype(np.float64) ** 2).sum() / (error**2).sum())))
    assert metrics["worst_weight_sqnr_db"] == pytest.approx(worst, rel=1e-6)
    assert metrics["int8_parameters"] == sum(w.size for w in before.values() if w.ndim == 2)
    assert metrics["float_parameters"] == sum(w.size for w in before.values() if w.ndim < 2)


def test_the_record_covers_every_matrix_and_nothing_else(pruned: Artifact, tmp_path: Path) -> None:
    weights, _ = quantize(pruned, tmp_path)
    record = json.loads((tmp_path / "quantization.json").read_text())
    assert set(record) == {name for name, weight in weights.items() if weight.ndim == 2}
    assert set(record) == {f"{path}.weight" for path in [*LINEARS, *EMBEDDINGS]}
    for path in LINEARS:
        assert record[f"{path}.weight"] == {
            "role": "linear",
            "dtype": "int8",
            "axis": 0,
            "activations": "dynamic-int8",
        }
    for path in EMBEDDINGS:
        entry = record[f"{path}.weight"]
        assert (entry["role"], entry["dtype"], entry["activations"]) == ("embedding", "int8", "float")
    loaded = compressed.load(tmp_path, "name", 96, {})
    assert set(loaded.quantization.modules("linear")) == set(LINEARS)
    assert set(loaded.quantization.modules("embedding")) == set(EMBEDDINGS)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"keep_float": ("qa_outputs", "embeddings.position")}, ["qa_outputs", "embeddings.position"]),
        ({"keep_float": ("layers.1.feed_forward.inner",)}, ["layers.1.feed_forward.inner"]),
        ({"linears": "float32"}, LINEARS),
        ({"embeddings": "float32"}, EMBEDDINGS),
        ({"embeddings": "float32", "keep_float": ("qa_outputs",)}, [*EMBEDDINGS, "qa_outputs"]),
    ],
)
def test_what_is_kept_in_float_is_untouched(
    options: dict[str, Any], kept: list[str], pruned: Artifact, tmp_path: Path
) -> None:
    before, (after, metrics) = (
        load_file(str(pruned.path / "model.safetensors")),
        quantize(pruned, tmp_path, **options),
    )
    record = json.loads((tmp_path / "quantization.json").read_text())
    for path in [*LINEARS, *EMBEDDINGS]:
        name = f"{path}.weight"
        assert np.array_equal(before[name], after[name]) == (path in kept), name
        assert record[name]["dtype"] == ("float32" if path in kept else "int8")
        if path in kept:
            assert record[name]["activations"] == "float"
    rest = [path for path in [*LINEARS, *EMBEDDINGS] if path not in kept]
    assert metrics["int8_parameters"] == sum(before[f"{path}.weight"].size for path in rest)


def test_all_in_float_has_no_rounding_to_report(pruned: Artifact, tmp_path: Path) -> None:
    before, (after, metrics) = (
        load_file(str(pruned.path / "model.safetensors")),
        quantize(pruned, tmp_path, linears="float32", embeddings="float32"),
    )
    assert all(np.array_equal(after[name], weight) for name, weight in before.items())
    assert metrics["int8_parameters"] == 0
    assert "worst_weight_sqnr_db" not in metrics


def test_quantizing_twice_changes_nothing(pruned: Artifact, tmp_path: Path) -> None:
    once, _ = quantize(pruned, tmp_path / "once")
    again = Artifact(kind="prune", path=tmp_path / "once", key="o", sha256="o", parents=(), metrics={})
    twice, metrics = quantize(again, tmp_path / "twice")
    assert all(np.array_equal(twice[name], weight) for name, weight in once.items())
    assert "worst_weight_sqnr_db" not in metrics


@pytest.mark.parametrize("name", ["qa_output", "layers.7.attention.query", "embeddings.norm", "layers.0", ""])
def test_an_unknown_module_is_refused_in_a_sentence(name: str, pruned: Artifact, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        quantize(pruned, tmp_path, keep_float=("qa_outputs", name))
    said = str(caught.value)
    assert said.startswith(
        f"quantize.keep_float names {name!r}, which is no linear or embedding of the student"
    )
    assert "embeddings.word" in said
    assert "\n" not in said
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(("labels", "dtype"), [(1, "float32"), (2, "int8")])
def test_a_single_output_stays_float(labels: int, dtype: str) -> None:
    config = StudentConfig(
        vocabulary=20,
        positions=8,
        hidden=16,
        head_size=8,
        layers=(),
        head="text-classification",
        labels=labels,
    )
    plans = compressed.plan(student.build(config), Settings()).tensors
    assert plans["classifier.weight"].dtype == dtype
