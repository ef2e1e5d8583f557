"""The apps' toolchains in the usual cache, fetched by the first run of all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

import exporters.base as exporters
from device_bench.__main__ import CACHE
from device_bench.toolchain import android, chromium, kotlin, suites, swift, web
from pipeline import bundles
from pipeline.recipe import Task
from pipeline.types import Silent
from tests.exporters.conftest import MAX_LENGTH, make_student


@pytest.fixture(scope="session")
def cache() -> Path:
    """With everything in it that needs the network; a toolchain that cannot be had fails the tests."""
    swift.unpack(CACHE, Silent())
    kotlin.unpack(CACHE, Silent())
    android.unpack(CACHE, Silent())
    chromium.unpack(CACHE, Silent())
    web.install(suites.APPS / "web", CACHE, Silent())
    return CACHE


@pytest.fixture(scope="session")
def tflite_bundle(
    tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path, tokenizer: PreTrainedTokenizerBase
) -> Path:
    """A student of random weights under LiteRT, in windows so short that every passage has several."""
    folder = tmp_path_factory.mktemp("tflite") / "bundle"
    folder.mkdir()
    student, exporter = make_student(), exporters.get("tflite")
    program = exporter.lower(student, folder).path
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(encoder_folder / name, folder / name)
    bundles.write_manifest(
        folder,
        {
            "name": "random",
            "target": "tflite",
            "task": "question-answering",
            "program": program.name,
            "windows": Task(max_length=MAX_LENGTH, stride=16).model_dump(mode="json"),
            "lengths": bundles.lengths_field(exporter.runner(program).lengths),
            "metrics": {},
            "verified": True,
            "precision": "int8",
        },
    )
    return folder
