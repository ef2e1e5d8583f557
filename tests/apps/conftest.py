"""The apps' toolchains in the usual cache, fetched by the first run of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_bench.__main__ import CACHE
from device_bench.toolchain import android, kotlin, swift
from pipeline.types import Silent


@pytest.fixture(scope="session")
def cache() -> Path:
    """With everything in it that needs the network; a toolchain that cannot be had fails the tests."""
    swift.unpack(CACHE, Silent())
    kotlin.unpack(CACHE, Silent())
    android.unpack(CACHE, Silent())
    return CACHE
