from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np


class CompiledMLModel:
    def __init__(self, path: str, compute_units: Any = None, function_name: str | None = None) -> None:
        assert path.endswith(".mlmodelc")
        assert (Path(path) / "coremldata.bin").is_file(), "not compiled"
        if os.environ.get("STAND_IN") == "load":
            raise RuntimeError("Error compiling model: Failed to build the model execution plan")
        self.compute_unit = compute_units

    def predict(self, data: dict[str, np.ndarray], state: Any = None) -> dict[str, np.ndarray]:
        ids, mask = data["input_ids"], data["attention_mask"]
        assert ids.dtype == mask.dtype == np.int32
        if os.environ.get("STAND_IN") == "dies":
            os._exit(139)
        time.sleep(ids.size * 1e-6)
        return {"end_logits": -ids.astype(np.float32), "start_logits": ids.astype(np.float32)}


class MLModel:
    def __init__(self, model: str, compute_units: Any = None, skip_model_load: bool = False) -> None:
        assert Path(model).suffix == ".mlpackage"
        assert skip_model_load, "its benchmarker loads it"
        self.compute_unit = compute_units
