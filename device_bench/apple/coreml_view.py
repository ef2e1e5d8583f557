"""python -m device_bench.apple.coreml_view: what coremltools says of a program on this Mac, as JSON.

Two things that Core ML's own prediction does not tell: on which device the system plans to run each operation
(MLComputePlan, macOS 14.4 and later), and the times of coremltools' benchmarker (MLModelBenchmarker), which has
one program to itself and is a second opinion on times that were taken in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from device_bench.apple.coreml_runner import COMPUTE_UNITS, compiled, window
from pipeline import bundles

LOADS, PREDICTIONS = 5, 50
DEVICES = {
    "MLCPUComputeDevice": "cpu",
    "MLGPUComputeDevice": "gpu",
    "MLNeuralEngineComputeDevice": "neural engine",
}


def main() -> int:
    """Prints {"placement": {…} or null, "load_ms": […], "predict_ms": […]}."""
    parser = argparse.ArgumentParser(prog="python -m device_bench.apple.coreml_view", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--compiled", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--units", choices=list(COMPUTE_UNITS), default="all")
    flags = parser.parse_args()
    bundle = bundles.read(flags.bundle)
    first = np.array([flags.queries.read_text("ascii").splitlines()[0].split()], np.int32)
    place = compiled(bundle.program, flags.compiled)
    times = asyncio.run(_benchmark(bundle.program, flags.units, window(first, bundle.lengths)))
    print(json.dumps({"placement": placement(place, flags.units), **times}))
    return 0


def placement(place: Path, units: str) -> dict[str, int] | None:
    """Operations of the program's main function by the device that Core ML prefers; None if it is silent.

    Constants have no device and are not counted.
    """
    import coremltools
    from coremltools.models.compute_plan import MLComputePlan

    plan = MLComputePlan.load_from_path(str(place), compute_units=coremltools.ComputeUnit[COMPUTE_UNITS[units]])
    program = plan.model_structure.program
    if program is None:
        return None
    counted: Counter[str] = Counter()
    for operation in program.functions["main"].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is not None:
            name = type(usage.preferred_compute_device).__name__
            counted[DEVICES.get(name, name)] += 1
    return dict(sorted(counted.items())) or None


async def _benchmark(program: Path, units: str, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Milliseconds of loading and of predicting the first window, after one prediction that does not count."""
    import coremltools
    from coremltools.models.ml_program.experimental.perf_utils import MLModelBenchmarker

    model = coremltools.models.MLModel(
        str(program), compute_units=coremltools.ComputeUnit[COMPUTE_UNITS[units]], skip_model_load=True
    )
    benchmarker = MLModelBenchmarker(model=model)
    loads = await benchmarker.benchmark_load(iterations=LOADS)
    predictions = await benchmarker.benchmark_predict(inputs=inputs, iterations=PREDICTIONS, warmup=True)
    return {"load_ms": loads.samples, "predict_ms": predictions.samples}


if __name__ == "__main__":
    sys.exit(main())
