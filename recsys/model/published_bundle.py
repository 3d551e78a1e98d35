"""Where a published bundle lies for this process, and the first place that holds it whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from recsys.errors import BundleError
from recsys.online_store import ModelPointer


class Versioned(Protocol):
    """A loaded model."""

    @property
    def version(self) -> str:
        """The bundle's version."""
        ...


M = TypeVar("M", bound=Versioned)


def folders_of(pointer: ModelPointer, models_dir: Path) -> Sequence[Path]:
    """Where the bundle lies: the publisher's path, or our own folder where the publisher ran on another machine."""
    places = [Path(pointer.path)]
    if Path(pointer.version).name == pointer.version:  # a version never leads out of the folder
        places.append(models_dir.absolute() / pointer.version)
    return [place for place in dict.fromkeys(places) if _is_folder(place)]


def load_published(load: Callable[[Path], M], pointer: ModelPointer, folders: Sequence[Path], models_dir: Path) -> M:
    """The model of the first folder that holds the published bundle whole.

    Args:
        load: Verifies and loads the bundle in one folder.
        pointer: What is published.
        folders: Where the bundle may lie.
        models_dir: This process's own folder of bundles, for the message.

    Raises:
        BundleError: No folder holds it; says what is wrong with each.
    """
    failures = []
    for folder in folders:
        try:
            model = load(folder)
        except Exception as error:  # noqa: BLE001 - whatever this one does to its loader, the next may be whole
            failures.append(str(error) if isinstance(error, BundleError | OSError) else f"{folder}: {error!r}")
            continue
        if model.version == pointer.version:
            return model
        failures.append(f"the bundle in {folder} is of version {model.version}, published is {pointer.version}")
    if not failures:
        raise BundleError(
            f"no folder of the published model {pointer.version}, neither {pointer.path} nor in {models_dir}"
        )
    raise BundleError("; ".join(failures))


def _is_folder(place: Path) -> bool:
    """Whether there is a folder; a place that this process may not look into, or that cannot be, is none for it."""
    try:
        return place.is_dir()
    except OSError:
        return False
