"""A worker id has one live holder: a claim in Redis that its holder renews and that runs out when the holder dies."""

from __future__ import annotations

import asyncio
import os
import time

import structlog

from recsys.errors import ServiceUnavailable, UnreadableState, WorkerIdTaken
from recsys.online_store import Control

log = structlog.get_logger(__name__)

TTL_MS = 10_000
RENEW_EVERY_S = TTL_MS / 3000
RETRY_EVERY_S = 0.5


class WorkerId:
    """A claim on a worker id.

    Args:
        store: The online store.
        worker_id: The operator's name for the worker; None claims nothing.
    """

    def __init__(self, store: Control, worker_id: str | None) -> None:
        self._store, self.worker_id = store, worker_id
        self._token = f"{os.uname().nodename}:{os.getpid()}:{time.time_ns()}"

    async def claim(self) -> None:
        """Waits out a dead predecessor's claim.

        Raises:
            WorkerIdTaken: A live worker keeps renewing it.
            ServiceUnavailable: Redis does not answer.
            UnreadableState: The key of the claim is something else.
        """
        if self.worker_id is None:
            return
        give_up = time.monotonic() + TTL_MS / 1000 + 1
        while not await self._store.hold_worker_id(self.worker_id, self._token, TTL_MS):
            if time.monotonic() > give_up:
                raise WorkerIdTaken(
                    f"worker id {self.worker_id!r} is held by another live worker; give each worker an id of its own"
                )
            await asyncio.sleep(RETRY_EVERY_S)

    async def keep(self) -> None:
        """Renews the claim for ever.

        Raises:
            WorkerIdTaken: The claim ran out (Redis or this process stood still) and another worker took it.
        """
        while self.worker_id is not None:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                held = await self._store.hold_worker_id(self.worker_id, self._token, TTL_MS)
            except (ServiceUnavailable, UnreadableState) as error:
                log.warning("worker_id_not_renewed", error=str(error))
                continue
            if not held:
                raise WorkerIdTaken(
                    f"worker id {self.worker_id!r} was taken by another worker while this one, or Redis, stood still"
                )

    async def release(self) -> None:
        """Gives the id back, so that a successor need not wait."""
        if self.worker_id is not None:
            await self._store.release_worker_id(self.worker_id, self._token)
