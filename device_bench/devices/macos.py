"""This Mac, through Core ML."""

from __future__ import annotations

from device_bench.devices.base import Device
from device_bench.sample_app import Units


def find(units: Units | None) -> tuple[Device, ...]:
    """One device for each choice of compute units."""
    return ()
