"""Which model a process uses: one policy for the stream worker, the API and whoever follows later.

The follower reads the pointer, finds the bundle, verifies and loads it in a thread, and swaps one reference. NumPy
only, no TensorFlow. What holds:

- Only what was published is loaded. Where the pointer cannot be read (Redis is away, the value is corrupt or a newer
  release wrote it) the newest publication counts that this process or the note beside the bundles knows of
  (`publications`), never the newest folder.
- The bundle is looked for at the publisher's path, then by its version in this process's own models folder.
- A bundle that cannot be loaded leaves the model in use where it is, and is tried again after a growing pause; at once
  when a folder for it appears, as where a volume is mounted late.
- A process without any model takes the publication before, if that one loads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic

import msgspec
import structlog

from recsys.errors import BundleError, ServiceUnavailable, UnreadableState
from recsys.model.publications import Publications, newest, read_publications
from recsys.model.published_bundle import M, folders_of, load_published
from recsys.model.remembered_pointer import remember, remembered
from recsys.online_store import ModelPointer
from recsys.process.pause import GrowingPause

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger(__name__)


class ModelFollower(Generic[M]):
    """Keeps the model of one process at what is published.

    Args:
        read: Reads the pointer; None where none is written. May raise `ServiceUnavailable` and `UnreadableState`.
        load: Verifies and loads the bundle in one folder, raising `BundleError`. Called in a thread.
        models_dir: This process's own folder of bundles, each named by its version.
        count: Told the outcome of each attempt: "loaded", "failed", "pointer_unreadable",
            "publications_unreadable".
        remember_in: File for the pointer this process read last, for a start without Redis; None keeps none.
        restore: Writes a pointer that Redis lost again; None where this process only reads.
        listed: Gives a loaded model the catalogue of now (`recsys.model.live_catalogue`). Called in a thread.
        prepare: Told of a model that came into use; nobody waits for it. Called in a thread.
        clock: Monotonic seconds.

    Attributes:
        current: The model in use; None while none could be loaded. Read it once for one answer.
        published: The publication in force as far as this process knows; None when it knows of none.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[ModelPointer | None]],
        load: Callable[[Path], M],
        models_dir: Path,
        *,
        count: Callable[[str], None],
        remember_in: Path | None = None,
        restore: Callable[[ModelPointer], Awaitable[None]] | None = None,
        listed: Callable[[M], M] = lambda model: model,
        prepare: Callable[[M], None] = lambda _model: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._load, self._models_dir, self._count = read, load, models_dir, count
        self._file, self._restore, self._listed = remember_in, restore, listed
        self._prepare = prepare
        self._preparing: asyncio.Task[None] | None = None
        self._loaded_last: M | None = None
        self._listing = asyncio.Lock()
        self._pause = GrowingPause(clock, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        self._attempted: tuple[str, Sequence[Path]] | None = None
        self._complaints: dict[str, str] = {}
        self.current: M | None = None
        self.published: ModelPointer | None = None

    @property
    def up_to_date(self) -> bool:
        """Whether the model in use is the published one: only its lists may be written."""
        return (
            self.current is not None and self.published is not None and self.current.version == self.published.version
        )

    async def follow(self) -> bool:
        """Looks once, and loads what is published unless it is in use or has just failed.

        Returns:
            Whether the model in use changed.
        """
        before = self.current
        await self._find_publication()
        if self.published is not None and not self.up_to_date:
            await self._catch_up(self.published)
        return self.current is not before

    async def list_anew(self) -> None:
        """Takes over a catalogue that changed into the model in use."""
        async with self._listing:  # an earlier catalogue must not replace a later one
            if self._loaded_last is not None:
                self.current = await self._with_catalogue(self._loaded_last)

    async def _with_catalogue(self, model: M) -> M:
        try:
            return await asyncio.to_thread(self._listed, model)
        except Exception as error:
            log.exception("catalogue_not_taken_over", version=model.version, error=repr(error))
            return model

    async def _find_publication(self) -> None:
        try:
            pointer = await self._read()
        except ServiceUnavailable:
            await self._recall()
            return
        except (UnreadableState, msgspec.DecodeError) as error:
            self._complain("pointer_unreadable", str(error))
            await self._recall()
            return
        self._complaints.pop("pointer_unreadable", None)
        if pointer is None:
            await self._recall()
            if self.published is not None and self._restore is not None:
                await self._restore_lost(self.published)
        elif pointer != self.published:
            self.published = pointer
            if self._file is not None:
                await asyncio.to_thread(remember, self._file, pointer)

    async def _recall(self) -> None:
        """Takes the newest publication this process can know of without the pointer."""
        read_last = None if self._file is None else await asyncio.to_thread(remembered, self._file)
        noted = (await asyncio.to_thread(self._noted)).current
        self.published = newest([self.published, read_last, noted])

    async def _restore_lost(self, pointer: ModelPointer) -> None:
        assert self._restore is not None  # noqa: S101 - the caller looked
        try:
            await self._restore(pointer)
        except ServiceUnavailable:
            return  # at the next turn
        log.warning("model_pointer_restored", version=pointer.version)

    async def _catch_up(self, pointer: ModelPointer) -> None:
        folders = await asyncio.to_thread(folders_of, pointer, self._models_dir)
        if (pointer.version, folders) != self._attempted:
            self._pause.reset()
        if not self._pause.is_over():
            return
        self._attempted = (pointer.version, folders)
        if await self._swap(pointer, folders):
            return
        self._pause.begin()
        if self.current is None:
            await self._fall_back(pointer)

    async def _fall_back(self, failed: ModelPointer) -> None:
        """Any model is better than none, as long as it was published: the publications before, newest first."""
        tried = {failed.version}
        for pointer in (await asyncio.to_thread(self._noted)).published:
            if pointer.version not in tried:
                tried.add(pointer.version)
                folders = await asyncio.to_thread(folders_of, pointer, self._models_dir)
                if folders and await self._swap(pointer, folders):
                    return

    async def _swap(self, pointer: ModelPointer, folders: Sequence[Path]) -> bool:
        try:
            model = await asyncio.to_thread(load_published, self._load, pointer, folders, self._models_dir)
        except Exception as error:  # noqa: BLE001 - whatever a bundle does to its loader, the model in use stays
            self._count("failed")
            log.warning(
                "model_not_loaded",
                version=pointer.version,
                error=str(error) if isinstance(error, BundleError | OSError) else repr(error),
                in_use=self._version(),
                retry_in_s=self._pause.length_s,
            )
            return False
        previous, self._loaded_last = self._version(), model
        await self.list_anew()
        self._preparing = asyncio.create_task(self._prepare_in_thread(model))
        self._count("loaded")
        log.info("model_loaded", version=pointer.version, previous=previous)
        return True

    async def prepared(self) -> None:
        """Returns when the model that came into use last is prepared; at once without one."""
        if self._preparing is not None:
            await self._preparing

    async def _prepare_in_thread(self, model: M) -> None:
        try:
            await asyncio.to_thread(self._prepare, model)
        except Exception as error:
            log.exception("model_not_prepared", version=model.version, error=repr(error))

    def _noted(self) -> Publications:
        try:
            noted = read_publications(self._models_dir)
        except BundleError as error:
            self._complain("publications_unreadable", str(error))
            return Publications()
        self._complaints.pop("publications_unreadable", None)
        return noted

    def _complain(self, outcome: str, error: str) -> None:
        """Names and counts a value that cannot be read once, not at every poll."""
        if error != self._complaints.get(outcome):
            self._complaints[outcome] = error
            self._count(outcome)
            log.error(outcome, error=error, in_use=self._version())

    def _version(self) -> str | None:
        return None if self.current is None else self.current.version
