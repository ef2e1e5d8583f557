from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class MLCPUComputeDevice:
    pass


class MLNeuralEngineComputeDevice:
    pass


class MLComputePlan:
    """Two operations on the CPU, three wherever the units allow, a constant on none."""

    def __init__(self, units: str) -> None:
        block = SimpleNamespace(operations=["const", "gather", "cast", "linear", "softmax", "linear"])
        program = SimpleNamespace(functions={"main": SimpleNamespace(block=block)})
        self.model_structure = SimpleNamespace(program=program)
        self._units = units

    @classmethod
    def load_from_path(cls, path: str, compute_units: Any = None) -> MLComputePlan:
        return cls(compute_units.name)

    def get_compute_device_usage_for_mlprogram_operation(self, operation: str) -> Any:
        if operation == "const":
            return None
        on_engine = operation in ("linear", "softmax") and self._units in ("ALL", "CPU_AND_NE")
        device = MLNeuralEngineComputeDevice() if on_engine else MLCPUComputeDevice()
        return SimpleNamespace(preferred_compute_device=device, supported_compute_devices=[device])
