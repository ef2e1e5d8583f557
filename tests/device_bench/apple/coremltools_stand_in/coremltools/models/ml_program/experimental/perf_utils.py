from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any


class MLModelBenchmarker:
    def __init__(self, model: Any, device: Any = None) -> None:
        self.model = model

    async def benchmark_load(self, iterations: int = 1) -> Any:
        if os.environ.get("STAND_IN") == "view":
            raise ValueError("Failed to retrieve model load duration.")
        return SimpleNamespace(samples=[12.5] * iterations)

    async def benchmark_predict(
        self, inputs: dict[str, Any] | None = None, iterations: int = 1, warmup: bool = False
    ) -> Any:
        assert inputs is not None
        assert warmup
        return SimpleNamespace(samples=[1.5] * iterations)
