from __future__ import annotations

import os
from pathlib import Path


def compile_model(model: str, destination_path: str | None = None) -> str:
    assert Path(model).suffix == ".mlpackage"
    assert destination_path is not None
    if os.environ.get("STAND_IN") == "compile":
        raise RuntimeError("Unable to parse ML Program: unknown operator\nin line 3")
    Path(destination_path).mkdir()
    (Path(destination_path) / "coremldata.bin").write_bytes(b"compiled")
    return destination_path
