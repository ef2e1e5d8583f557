"""The whole loop on a real adbd: what is measured and left behind, and what is said when it goes wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from device_bench import measurement
from device_bench.devices.adb import parse_list
from device_bench.flags import Asked
from device_bench.measuring import measure_all
from device_bench.session import DeviceError
from device_bench.toolchain.phone import Phone
from pipeline.types import PipelineError, Silent, UsageError
from tests.device_bench.adb.conftest import PIXEL
from tests.device_bench.adb.runners import OBEDIENT, on, request


def left_behind(phone: Phone) -> list[str]:
    return phone.connection.check("ls /data/local/tmp").split()


def test_two_programs_in_turns_leave_samples_and_nothing_else(
    pixel: Phone, bundle: Path, baseline: Path, tmp_path: Path
) -> None:
    made = on(pixel, OBEDIENT, tmp_path).measure(request(bundle, baseline), Silent())
    assert [program.role for program in made.programs] == ["candidate", "baseline"]
    for program in made.programs:
        assert program.runner == "native"
        assert program.runtime == "Fake 1.0"
        assert len(program.samples_ns) == len(program.lengths) == 2
        assert program.peak_resident_bytes == 4096
        assert program.footprint.on_device_bytes is not None
        assert 0 <= program.footprint.on_device_bytes - program.footprint.program_bytes < 4096
    assert left_behind(pixel) == []
    path = tmp_path / "measurement.json"
    measurement.write(made, path)
    assert measurement.read(path) == measurement.Measurement.model_validate_json(made.model_dump_json())


def test_the_phone_says_what_it_is_and_that_its_times_mean_nothing(
    pixel: Phone, bundle: Path, tmp_path: Path
) -> None:
    made = on(pixel, OBEDIENT, tmp_path).measure(request(bundle), Silent())
    assert (made.place.name, made.place.emulated) == ("qemu-arm64 (emulated)", True)
    assert (made.place.cpu, made.place.processor) == ("cortex-a76", "Google Tensor G3")
    assert made.place.system == "Android 15 (API 35)"
    assert not made.validity.valid
    assert "emulated: its times mean nothing" in made.validity.reasons[0]
    for state in (made.before, made.after):
        assert (state.battery_percent, state.charging) == (81, True)
        assert (state.thermal, state.temperature_celsius) == ("light", 36.75)
        assert state.governor == "sched_pixel"
    assert made.made["device_before"]["clusters"] == [[0], [1]]
    assert made.made["device_before"]["screen"] == "Awake"


@pytest.mark.parametrize(("cpu", "core"), [("big", 1), ("little", 0)])
def test_runners_are_held_to_the_cores_asked_for(
    cpu: str, core: int, pixel: Phone, bundle: Path, tmp_path: Path
) -> None:
    made = on(pixel, OBEDIENT, tmp_path).measure(request(bundle, cpu=cpu), Silent())
    assert made.before.pinned_to == made.after.pinned_to == (core,)
    assert not any("was let onto" in reason for reason in made.validity.reasons)


def test_a_runner_on_other_cores_than_asked_for_is_a_reason(
    start: Callable[..., Phone], bundle: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "system/bin").mkdir(parents=True)
    ignoring = tree / "system/bin/taskset"
    ignoring.write_text('#!/system/bin/sh\nshift\nexec "$@"\n', encoding="ascii")
    ignoring.chmod(0o755)
    phone = start(files=[PIXEL, tree])
    made = on(phone, OBEDIENT, tmp_path).measure(request(bundle, cpu="big"), Silent())
    assert any("asked for cores (1,)" in reason for reason in made.validity.reasons)


CRASH = "loaded\nread -r word number\nkill -SEGV $$\n"
HANGS_UP = "loaded\nread -r word number\nexit 0\n"
RUBBISH = "loaded\nread -r word number\necho 'free(): invalid pointer'\nsleep 60\n"
SILENT = "loaded\nread -r word number\nsleep 60\n"
GIVES_UP = """echo '{"event": "failed", "why": "program-0 is no program"}'\nexit 1\n"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (CRASH, r"the runner ended before it was told to \(exit code 139\)"),
        (HANGS_UP, "the runner ended before it was told to"),
        (RUBBISH, r"the runner said 'free\(\): invalid pointer', which is no event of a runner"),
        (SILENT, "the runner said nothing for 1 s"),
        (GIVES_UP, "the runner gave up: program-0 is no program"),
    ],
    ids=["crashes", "hangs up", "prints rubbish", "hangs", "gives up"],
)
def test_a_runner_that_fails_is_one_sentence_and_leaves_nothing(
    script: str, said: str, pixel: Phone, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match=said) as failed:
        on(pixel, script, tmp_path, patience=1.0).measure(request(bundle), Silent())
    assert "small (candidate) on 127.0.0.1:" in str(failed.value)
    assert len(str(failed.value).splitlines()) == 1
    assert left_behind(pixel) == []
    assert "sleep" not in pixel.connection.check("ps -A -o NAME")


class Interrupted(Silent):
    def update(self, done: float, total: float, note: str = "") -> None:
        if note in ("timing", "warming up"):
            raise KeyboardInterrupt


def test_an_interrupted_measurement_leaves_nothing(pixel: Phone, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        on(pixel, OBEDIENT, tmp_path).measure(request(bundle), Interrupted())
    assert left_behind(pixel) == []


class Killing(Silent):
    """Takes a phone's power away when its first runs are done."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone

    def update(self, done: float, total: float, note: str = "") -> None:
        if note in ("timing", "warming up"):
            self.phone.kill()


def test_a_phone_that_vanishes_in_the_middle_is_one_sentence(
    start: Callable[..., Phone], bundle: Path, tmp_path: Path
) -> None:
    phone = start()
    with pytest.raises(DeviceError, match=r"offline|vanished") as failed:
        on(phone, OBEDIENT, tmp_path).measure(request(bundle), Killing(phone))
    assert "in the middle of the measurement: nothing is kept" in str(failed.value)
    assert len(str(failed.value).splitlines()) == 1


def test_other_devices_results_are_kept(
    start: Callable[..., Phone], pixel: Phone, bundle: Path, tmp_path: Path
) -> None:
    dying, screen, errors = start(), Console(file=io.StringIO()), io.StringIO()
    (tmp_path / "other").mkdir()
    kills = f"loaded\nkill -9 $PPID\n{OBEDIENT}"  # a runner's parent is adbd
    asked = [
        Asked(on(dying, kills, tmp_path / "other"), request(bundle), tmp_path / "dying.json"),
        Asked(on(pixel, OBEDIENT, tmp_path), request(bundle), tmp_path / "pixel.json"),
    ]
    with pytest.raises(PipelineError, match="1 of 2 devices"):
        measure_all(asked, screen, errors)
    assert not (tmp_path / "dying.json").exists()
    assert measurement.read(tmp_path / "pixel.json").place.kind == "adb"
    assert len(errors.getvalue().splitlines()) == 1


def test_a_full_phone_is_found_before_anything_is_pushed(
    start: Callable[..., Phone], bundle: Path, tmp_path: Path
) -> None:
    phone = start(storage_bytes=1 << 20)
    with pytest.raises(DeviceError, match=r"is full: 1 MB are free .* needs 8 MB"):
        on(phone, OBEDIENT, tmp_path).measure(request(bundle), Silent())
    assert left_behind(phone) == []


def test_a_phone_that_fills_up_while_pushing_is_left_as_it_was(
    start: Callable[..., Phone], bundle: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "system/bin").mkdir(parents=True)
    boasting = tree / "system/bin/df"
    boasting.write_text("#!/system/bin/sh\necho 'userdata 99999999 1 99999998 1% /data'\n", encoding="ascii")
    boasting.chmod(0o755)
    phone = start(files=[tree], storage_bytes=16 << 10)
    with pytest.raises(DeviceError, match=r"is full: pushing to .* failed"):
        on(phone, OBEDIENT, tmp_path).measure(request(bundle), Silent())
    assert left_behind(phone) == []


def test_a_file_that_arrives_altered_is_not_run(
    start: Callable[..., Phone], bundle: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "system/bin").mkdir(parents=True)
    wrong = tree / "system/bin/sha256sum"
    wrong.write_text(f'#!/system/bin/sh\nfor f in "$@"; do echo "{"0" * 64}  $f"; done\n', encoding="ascii")
    wrong.chmod(0o755)
    phone = start(files=[tree])
    with pytest.raises(DeviceError, match="differs there from what was pushed"):
        on(phone, OBEDIENT, tmp_path).measure(request(bundle), Silent())
    assert left_behind(phone) == []


def test_what_a_phone_cannot_do_is_refused_before_it_is_asked(
    pixel: Phone, bundle: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    asked, there = request(bundle), on(pixel, OBEDIENT, tmp_path)
    with pytest.raises(UsageError, match="instructions are counted with"):
        there.measure(replace(asked, metric="instructions"), Silent())
    with pytest.raises(UsageError, match="no Python runtime"):
        there.measure(replace(asked, runner="python"), Silent())
    with pytest.raises(UsageError, match="big or little"):
        there.measure(replace(asked, cpu="medium"), Silent())


def test_lists_of_cpus_as_the_kernel_writes_them() -> None:
    assert parse_list("0") == (0,)
    assert parse_list("0-3,6") == (0, 1, 2, 3, 6)
