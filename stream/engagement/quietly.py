"""Work that may be missed once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from recsys.errors import ServiceUnavailable, UnreadableState

log = structlog.get_logger(__name__)


async def quietly(work: Callable[[], Awaitable[object]]) -> None:
    """Does work whose failure is logged, not raised, where a service is away or state cannot be read."""
    try:
        await work()
    except (ServiceUnavailable, UnreadableState) as error:
        log.warning("postponed", error=str(error))
