"""What an Android device says of itself: which it is, how warm, how charged, which cores it has.

One script is run on it, in its own shell, and prints sections; everything else here reads them. What a device
does not tell is None: an old one has no thermal service, a locked one no readable frequencies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from device_bench.android.adb import Connection
from device_bench.measurement import Place, State
from pipeline.types import UsageError

LOOK = """\
echo '=== properties'; getprop
echo '=== battery'; dumpsys battery
echo '=== thermal'; dumpsys thermalservice
echo '=== zones'
for z in /sys/class/thermal/thermal_zone*; do
  read -r t < $z/type && read -r v < $z/temp && echo "$v $t"
done
echo '=== power'; dumpsys power | grep mWakefulness=
echo '=== cpus'
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  for f in online cpu_capacity cpufreq/cpuinfo_max_freq cpufreq/scaling_governor; do
    [ -r $c/$f ] && read -r v < $c/$f && echo "${c##*/cpu} $f $v"
  done
done
echo '=== load'; cat /proc/loadavg
echo '=== cpuinfo'; cat /proc/cpuinfo
echo '=== machine'; uname -m; echo "$QEMU_CPU"; readlink /proc/$PPID/exe
"""
"""No command in it is missed where the device lacks it: its section stays empty. The last line is what runs
adbd: on a phone it may not be read, or is adbd; under an emulator of user programs it is the emulator."""

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""PowerManager's THERMAL_STATUS_* by number."""
BATTERY, SKIN = 2, 3
"""Temperature types of Android's thermal HAL that tell how warm the phone is, not its hottest transistor."""
CHARGING = 2
"""BatteryManager.BATTERY_STATUS_CHARGING."""
EMULATED_NAME = "qemu-arm64 (emulated)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One CPU as the kernel lists it."""

    number: int
    online: bool = True
    capacity: int | None = None
    """Relative to the fastest, which has 1024."""
    max_khz: int | None = None
    governor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything that one look at a device gave."""

    properties: Mapping[str, str] = field(default_factory=dict)
    battery: Mapping[str, str] = field(default_factory=dict)
    thermal_status: int | None = None
    temperatures: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Sensor → its HAL type and °C."""
    zones: Mapping[str, float] = field(default_factory=dict)
    """The kernel's thermal zones, °C."""
    wakefulness: str | None = None
    cores: tuple[Core, ...] = ()
    load_average: float | None = None
    processors: int = 0
    """That /proc/cpuinfo lists."""
    part: str | None = None
    """ARM's numbers of the core's maker and kind, the last that is listed: the fastest, mostly."""
    machine: str = ""
    """uname's: aarch64, x86_64."""
    emulated_core: str | None = None
    runs_adbd: str = ""

    @property
    def under_qemu(self) -> bool:
        """Whether its programs run in QEMU's user mode: no time taken there means anything."""
        return "qemu-" in self.runs_adbd

    @property
    def virtual(self) -> bool:
        """Whether it is an Android emulator's virtual device, which says so itself."""
        flags = {self.properties.get(f"ro.{part}.qemu") for part in ("kernel", "boot")}
        return "1" in flags or self.properties.get("ro.hardware") in ("goldfish", "ranchu")

    def place(self) -> Place:
        """The device, as measurement.json names it."""
        get = self.properties.get
        maker, model = get("ro.product.manufacturer", ""), get("ro.product.model", "")
        name = model if model.casefold().startswith(maker.casefold()) else f"{maker} {model}"
        soc = " ".join(filter(None, (get("ro.soc.manufacturer"), get("ro.soc.model"))))
        version, level = get("ro.build.version.release"), get("ro.build.version.sdk")
        return Place(
            kind="adb",
            name=EMULATED_NAME if self.under_qemu else name.strip() or "an Android device",
            emulated=self.under_qemu,
            trend_only=self.virtual and not self.under_qemu,
            processor=soc
            or get("ro.board.platform")
            or get("ro.hardware")
            or self.part
            or self.machine
            or "unknown",
            cores=len(self.cores) or self.processors,
            system=f"Android {version} (API {level})" if version else "Linux with adbd",
            cpu=self.emulated_core if self.under_qemu else None,
        )

    def state(self, pinned_to: tuple[int, ...] | None = None) -> State:
        """What may disturb a measurement now."""
        used = [core for core in self.cores if pinned_to is None or core.number in pinned_to]
        governors = sorted({core.governor for core in used if core.governor})
        status = self.thermal_status
        known = status is not None and 0 <= status < len(THERMAL_STATUS)
        charging = self.battery.get("status")
        return State(
            temperature_celsius=self.temperature(),
            thermal=THERMAL_STATUS[status] if known and status is not None else None,
            battery_percent=self._battery_percent(),
            charging=None if charging is None else charging == str(CHARGING),
            governor=", ".join(governors) or None,
            pinned_to=pinned_to,
            load_average=self.load_average,
        )

    def temperature(self) -> float | None:
        """°C of the skin, or of the battery where no sensor is the skin's."""
        for kind in (SKIN, BATTERY):
            found = [celsius for sensor, celsius in self.temperatures.values() if sensor == kind]
            if found:
                return max(found)
        tenths = self.battery.get("temperature", "")
        if tenths.lstrip("-").isdecimal() and int(tenths):
            return int(tenths) / 10
        near = [celsius for zone, celsius in self.zones.items() if re.search(r"skin|batt|quiet", zone)]
        return max(near) if near else None

    def about(self) -> dict[str, Any]:
        """What a sceptic may ask for besides: sensors, clusters, screen."""
        return {
            "abi": self.properties.get("ro.product.cpu.abi"),
            "build": self.properties.get("ro.build.fingerprint"),
            "screen": self.wakefulness,
            "clusters": [list(numbers) for numbers in self.clusters()],
            "temperatures_celsius": {name: celsius for name, (_, celsius) in self.temperatures.items()}
            or self.zones,
        }

    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the cores that are online, by speed, the slowest cluster first."""
        speeds: dict[int, list[int]] = {}
        for core in self.cores:
            if core.online:
                speeds.setdefault(core.capacity or core.max_khz or 0, []).append(core.number)
        return tuple(tuple(sorted(speeds[speed])) for speed in sorted(speeds))

    def pick_cores(self, which: str, threads: int) -> tuple[int, ...]:
        """The fastest or slowest cores, whole clusters, as many as it takes for a core to each thread.

        Raises UsageError for another word than big or little, or where the device has one kind of core.
        """
        if which not in ("big", "little"):
            raise UsageError(f"unknown cores {which!r}; a phone's are big or little")
        clusters = self.clusters()
        if len(clusters) < 2:
            raise UsageError(
                f"this device tells of one kind of core, so none are {which}; leave the choice of cores out"
            )
        chosen: list[int] = []
        for cluster in clusters[::-1] if which == "big" else clusters:
            chosen.extend(cluster)
            if len(chosen) >= threads:
                break
        return tuple(sorted(chosen))

    def _battery_percent(self) -> float | None:
        level, scale = self.battery.get("level", ""), self.battery.get("scale", "100")
        if self.battery.get("present") == "false" or not (
            level.isdecimal() and scale.isdecimal() and int(scale)
        ):
            return None
        return 100 * int(level) / int(scale)


def look(connection: Connection) -> Look:
    """Looks at a device. Raises DeviceError where it is lost."""
    return parse(connection.shell(LOOK).output)


def parse(text: str) -> Look:
    """The output of LOOK."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("=== "):
            lines = sections.setdefault(line[4:].strip(), [])
        else:
            lines.append(line)

    def get(name: str) -> str:
        return "\n".join(sections.get(name, ()))

    load = re.match(r"\s*(\d+(?:\.\d+)?)\s", get("load"))
    awake = re.search(r"mWakefulness=(\w+)", get("power"))
    machine = [*sections.get("machine", ()), "", "", ""]
    return Look(
        properties=parse_properties(get("properties")),
        battery=parse_battery(get("battery")),
        thermal_status=parse_thermal_status(get("thermal")),
        temperatures=parse_temperatures(get("thermal")),
        zones=parse_zones(get("zones")),
        wakefulness=awake[1] if awake else None,
        cores=parse_cores(get("cpus")),
        load_average=float(load[1]) if load else None,
        processors=len(re.findall(r"^processor\s*:", get("cpuinfo"), re.M)),
        part=parse_part(get("cpuinfo")),
        machine=machine[0].strip(),
        emulated_core=machine[1].strip() or None,
        runs_adbd=machine[2].strip(),
    )


def parse_properties(text: str) -> dict[str, str]:
    """`getprop`: `[key]: [value]`, one a line; a value may hold line breaks, of which the first part counts."""
    return dict(re.findall(r"^\[([^\]]+)\]: \[(.*?)\]?$", text, re.M))


def parse_battery(text: str) -> dict[str, str]:
    """`dumpsys battery`: `  key: value`, one a line, under a heading."""
    return dict(re.findall(r"^\s+([A-Za-z ]+): (\S+)\s*$", text, re.M))


def parse_thermal_status(text: str) -> int | None:
    """`Thermal Status: 0` of `dumpsys thermalservice`, 0 to 6."""
    found = re.search(r"^\s*Thermal Status: (\d+)", text, re.M)
    return int(found[1]) if found else None


def parse_temperatures(text: str) -> dict[str, tuple[int, float]]:
    """Sensors of `dumpsys thermalservice`: what the HAL says now, or what was cached where it says nothing.

    A value of 0 or NaN is a sensor that has none.
    """
    _, _, current = text.partition("Current temperatures from HAL:")
    current = current.partition("Current cooling devices")[0]
    pattern = r"Temperature\{mValue=(-?[\d.]+), mType=(-?\d+), mName=([^,}]+), mStatus=\d+\}"
    found = re.findall(pattern, current) or re.findall(pattern, text)
    return {name: (int(kind), float(value)) for value, kind, name in found if float(value)}


def parse_zones(text: str) -> dict[str, float]:
    """`VALUE TYPE`, one a line: the kernel's thermal zones, in millidegrees; equal types are averaged."""
    found: dict[str, list[float]] = {}
    for value, zone in re.findall(r"^(-?\d+) (.+)$", text, re.M):
        if 0 < int(value) < 200_000:
            found.setdefault(zone.strip(), []).append(int(value) / 1000)
    return {zone: fmean(values) for zone, values in found.items()}


def parse_cores(text: str) -> tuple[Core, ...]:
    """`NUMBER FILE VALUE`, one a line, from /sys/devices/system/cpu."""
    files: dict[int, dict[str, str]] = {}
    for number, file, value in re.findall(r"^(\d+) (\S+) (\S+)$", text, re.M):
        files.setdefault(int(number), {})[file] = value
    return tuple(
        Core(
            number=number,
            online=read.get("online", "1") == "1",
            capacity=_number(read.get("cpu_capacity")),
            max_khz=_number(read.get("cpufreq/cpuinfo_max_freq")),
            governor=read.get("cpufreq/scaling_governor"),
        )
        for number, read in sorted(files.items())
    )


def parse_part(text: str) -> str | None:
    """`CPU implementer` and `CPU part` of /proc/cpuinfo, as machine.processor() gives them for a host."""
    fields = dict(re.findall(r"^(CPU implementer|CPU part)\s*:\s*(\S+)", text, re.M))
    return " ".join(f"{key} {value}" for key, value in fields.items()) or None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
