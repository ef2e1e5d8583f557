"""The sample apps as places for a bundle: which app takes which targets, and a bundle put where it looks.

Everything that can be refused is refused by `planned`, before a stage runs. A bundle is copied beside the app's
code, checked there as the app will check it, and swapped in: what an app finds is always whole.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import bundles
from pipeline.recipe import KINDS, Recipe
from pipeline.store import MANIFEST
from pipeline.types import PipelineError, UsageError

if TYPE_CHECKING:
    from exporters.base import Exporter

HERE = Path(__file__).parents[1] / "apps"
WANTED = KINDS[0]
"""The task of all three: they ask questions."""
FRESH = ".model.new"
"""Of an app's folder, outside of what it ships: a bundle on its way in, or the old one on its way out."""
SWAP = 2
"""RENAME_EXCHANGE of linux/fs.h, and RENAME_SWAP of Apple's sys/stdio.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A sample app."""

    targets: tuple[str, ...]
    place: str
    """Where it looks for its bundle, in its folder."""
    then: str
    """The command that goes on from there; {folder} is the app's."""


APPS: Mapping[str, App] = {
    "ios": App(targets=("coreml",), place="App/model", then="open {folder}/App/Pocket.xcodeproj"),
    "android": App(
        targets=("tflite", "executorch"),
        place="app/src/main/assets/model",
        then="gradle --project-dir {folder} :app:installDebug",
    ),
    "web": App(targets=("tflite",), place="public/model", then="make web"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A bundle that an app is to get."""

    app: str
    target: str
    folder: Path
    """The app's."""

    @property
    def place(self) -> Path:
        """Where the bundle will be."""
        return self.folder / APPS[self.app].place

    @property
    def then(self) -> str:
        """What to do next."""
        return APPS[self.app].then.format(folder=self.folder)


def planned(named: str, exporters: Sequence[Exporter], recipe: Recipe, folder: Path | None) -> tuple[Drop, ...]:
    """What each of the named apps, a comma list, will get of these targets; their sources are in `folder`.

    Raises UsageError where one of them could get nothing, or one of two.
    """
    names = tuple(dict.fromkeys(named.split(",")))
    for name in names:
        if name not in APPS:
            raise UsageError(f"unknown app {name!r}; apps are {', '.join(APPS)}")
    if recipe.task.kind != WANTED:
        raise UsageError(
            f"recipe {recipe.name} makes no bundle for an app: {bundles.other_task(recipe.task.kind, WANTED)}"
        )
    drops = tuple(
        Drop(app=name, target=_target(name, exporters), folder=(folder or HERE) / name) for name in names
    )
    for drop in drops:
        _check_place(drop)
    return drops


def put(drop: Drop, source: Path) -> None:
    """Puts the bundle in `source` where the app looks. Where it raises, what was there stays.

    Raises UsageError for a bundle of another task or one that was not verified, VerificationFailed for one that
    is not as its manifest says, PipelineError where the place cannot be written.
    """
    try:
        with _alone(drop.folder):
            _check_place(drop)
            _replace(source, drop)
    except OSError as error:
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise PipelineError(f"app {drop.app} has no new bundle in {drop.place}: {first}") from None


def _target(name: str, exporters: Sequence[Exporter]) -> str:
    takes = APPS[name].targets
    fitting = [exporter for exporter in exporters if exporter.target in takes]
    if not fitting:
        given = ",".join(exporter.target for exporter in exporters)
        raise UsageError(f"app {name} takes target {' or '.join(takes)}, not {given}: give it with --target")
    if len(fitting) > 1:
        both = " and ".join(exporter.target for exporter in fitting)
        raise UsageError(f"app {name} takes one bundle, and --target names {both}: leave all but one out")
    if why_not := fitting[0].why_not_run():
        target = fitting[0].target
        raise UsageError(f"app {name} takes verified bundles, and {target} cannot be run here: {why_not}")
    return fitting[0].target


def _check_place(drop: Drop) -> None:
    if not drop.folder.is_dir():
        raise UsageError(
            f"there is no {drop.folder}; run from a clone of this project, or say with --app-folder where its "
            "apps are"
        )
    if drop.place.is_symlink() or (drop.place.exists() and not drop.place.is_dir()):
        what = "symbolic link" if drop.place.is_symlink() else "file"
        raise UsageError(f"{drop.place} is a {what}, and the app's bundle belongs there; remove it")
    if drop.place.is_dir() and any(drop.place.iterdir()) and not (drop.place / MANIFEST).is_file():
        raise UsageError(f"{drop.place} holds something that is no bundle, and would lose it; move it away")
    above = next(folder for folder in drop.place.parents if folder.exists())
    for folder in (drop.folder, above):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"app {drop.app} cannot be given a bundle: {folder} cannot be written")


def _replace(source: Path, drop: Drop) -> None:
    fresh = drop.folder / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(source, fresh)
        copied = bundles.read(fresh, WANTED)
        if copied.why_not_verified:
            why = copied.why_not_verified
            raise UsageError(f"app {drop.app} takes verified bundles, and this one was not: {why}")
        drop.place.parent.mkdir(parents=True, exist_ok=True)
        _swap(fresh, drop.place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the folder itself is locked, so that no lock file is left in it."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _swap(fresh: Path, place: Path) -> None:
    """Puts `fresh` at `place` in one step, and what was there at `fresh`.

    Some file systems cannot: there the old folder is moved away first, and a kill at that moment leaves none.
    """
    if not place.exists():
        fresh.rename(place)
    elif not _exchanged(fresh, place):
        old = fresh.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
        fresh.rename(place)
        shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether the system gave both folders each other's name, in one step."""
    names = [os.fsencode(path.resolve()) for path in (one, other)]
    system = ctypes.CDLL(None)
    if sys.platform == "darwin":
        return bool(system.renamex_np(*names, SWAP) == 0)
    if not hasattr(system, "renameat2"):
        return False
    anywhere = -1  # of the folder that a relative path would begin in
    return bool(system.renameat2(anywhere, names[0], anywhere, names[1], SWAP) == 0)
