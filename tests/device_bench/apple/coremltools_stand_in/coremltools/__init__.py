"""A stand-in for coremltools on a Mac: the names that device_bench calls, with the signatures of version 9.0.

Prediction takes a moment that grows with the window, logits are the ids; which device an operation is planned
for follows from the compute units that are allowed. $STAND_IN makes it fail in the ways that Core ML does.
"""

from __future__ import annotations

import enum

from . import models as models

__version__ = "9.0"


class ComputeUnit(enum.Enum):
    ALL = 1
    CPU_AND_GPU = 2
    CPU_ONLY = 3
    CPU_AND_NE = 4
