"""Which model is in use: follows the pointer, loads and verifies in a thread, swaps one reference.

A bundle that does not verify leaves the model in use where it is, is logged and counted, and is tried again after a
growing pause. Nothing is loaded that did not verify.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from recsys.errors import BundleError
from recsys.online_store import ModelPointer
from serving.metrics import Metrics
from serving.recommend.loaded import LoadBundle, LoadedModel

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

_log = structlog.get_logger(__name__)


class Models:
    """The model in use.

    Args:
        models_dir: Folder of the bundles, each named by its version.
        load: Verifies and loads one bundle's folder, raising BundleError.
        metrics: Where loads are counted.
        clock: Monotonic seconds.

    Attributes:
        current: The model in use; None while none could be loaded. Read it once for one answer.
    """

    def __init__(
        self, models_dir: Path, load: LoadBundle, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._models_dir = models_dir
        self._load = load
        self._metrics = metrics
        self._failed: str | None = None
        self._published = _Pause(clock)
        self._newest = _Pause(clock)
        self.current: LoadedModel | None = None

    async def follow(self, pointer: ModelPointer) -> None:
        """Loads the model the pointer names, unless it is in use or has just failed."""
        if self.current is not None and self.current.version == pointer.version:
            return
        if self._failed != pointer.version:
            self._failed = None
            self._published.reset()
        if self._published.is_over() and not await self._swap(self._folder_of(pointer), pointer.version):
            self._failed = pointer.version
            self._published.begin()

    async def load_newest(self) -> None:
        """Loads the newest bundle on disk that verifies, unless a model is in use.

        What is left while nobody can say which one is published, or that one does not verify.
        """
        if self.current is not None or not self._newest.is_over():
            return
        for folder in await asyncio.to_thread(_newest_first, self._models_dir):
            if await self._swap(folder, folder.name):
                self._newest.reset()
                return
        self._newest.begin()

    def _folder_of(self, pointer: ModelPointer) -> Path:
        """The publisher's path, or our own folder where the publisher ran on another machine."""
        published = Path(pointer.path)
        return published if published.is_dir() else self._models_dir / Path(pointer.version).name

    async def _swap(self, folder: Path, version: str) -> bool:
        try:
            model = await asyncio.to_thread(self._loaded, folder, version)
        except (BundleError, OSError, MemoryError) as error:
            self._metrics.model_loads.labels("failed").inc()
            _log.warning("model_not_loaded", version=version, error=str(error), in_use=self._version())
            return False
        previous, self.current = self._version(), model
        self._metrics.model_loads.labels("loaded").inc()
        _log.info("model_loaded", version=version, previous=previous, courses=len(model.courses))
        return True

    def _loaded(self, folder: Path, version: str) -> LoadedModel:
        ranker = self._load(folder)
        if ranker.version != version:
            raise BundleError(f"expected model version {version} in {folder}, received {ranker.version}")
        return LoadedModel(ranker)

    def _version(self) -> str | None:
        return None if self.current is None else self.current.version


class _Pause:
    """Time to wait between attempts that fail, doubled each time up to `LONGEST_PAUSE_S`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        self._length_s, self._until = FIRST_PAUSE_S, 0.0

    def begin(self) -> None:
        self._until = self._clock() + self._length_s
        self._length_s = min(2 * self._length_s, LONGEST_PAUSE_S)

    def is_over(self) -> bool:
        return self._clock() >= self._until


def _newest_first(models_dir: Path) -> Sequence[Path]:
    """Bundle folders; a version begins with its UTC time, so names sort by age. Dot folders are being written."""
    try:
        folders = [path for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(folders, reverse=True)
