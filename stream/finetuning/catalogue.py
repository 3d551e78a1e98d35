"""What the catalogue's topic says, on its way to the training process. No I/O but the call that it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from recsys.catalog import Course
from recsys.catalogue_log import Catalogue

Changes = Sequence[tuple[str, Course | None]]
"""Course id and its newest state; None is one that is retired."""


class CatalogueChanges:
    """Collects what changed and hands it on; nothing of the catalogue stays here.

    Records that are no courses are passed over: the workers and the API say so.

    Args:
        offer: Takes changes.
        most: Courses that wait to be handed on; those that changed longest ago are left out.
    """

    def __init__(self, offer: Callable[[Changes], Awaitable[None]], *, most: int) -> None:
        self._offer, self._most = offer, most
        self._waiting: dict[str, Course | None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, records: Iterable[tuple[bytes | None, bytes | None, int]]) -> None:
        """Takes records, key, value and offset each, in the order of the log."""
        for key, value, offset in records:
            one = Catalogue()
            one.add(key, value, offset)
            for course_id, state in [*one.courses.items(), *((gone, None) for gone in one.retired)]:
                self._waiting.pop(course_id, None)
                self._waiting[course_id] = None if state is None or state.retired else state
                if len(self._waiting) > self._most:
                    del self._waiting[next(iter(self._waiting))]

    async def tell(self) -> None:
        """Hands on what came since."""
        changes, self._waiting = list(self._waiting.items()), {}
        if changes:
            await self._offer(changes)
