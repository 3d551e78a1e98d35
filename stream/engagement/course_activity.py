"""The activity of courses over all shards, merged by the owner of one partition for every process that ranks."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from typing import Protocol

from recsys.course_sums.activity import merged, packed, unpacked
from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Shard
from recsys.online_store import AllActivity, Lists, ShardStore

ANYWAY_EVERY_MS = 60_000
"""Merged again after this although no fence moved: another worker may have written an older one in between."""


class ActivityStore(ShardStore, Lists, Protocol):
    """What a merge uses of the online store."""


class ActivityMerge:
    """Merges the shards' activity when any of them moved.

    Args:
        store: The online store.
        shards: All shards in use.
        group: Consumer group; names their fences.
        keys: Spells the key that is named where a shard cannot be read.
    """

    def __init__(self, store: ActivityStore, shards: Sequence[Shard], group: str, keys: KeySpace) -> None:
        self._store, self._shards, self._group, self._keys = store, shards, group, keys
        self._merged: tuple[list[int | None], int] | None = None

    async def merge(self, catalogue: Container[str] | None, now_ms: int) -> bool:
        """Merges and writes, unless nothing moved since.

        Args:
            catalogue: The courses that may be ranked; None where no catalogue is known, and all are taken.
            now_ms: Now, ms since 1970 UTC.

        Returns:
            Whether it wrote.

        Raises:
            UnreadableState: A shard's part is none; what was merged before stays.
        """
        fences = [await self._store.fence(shard, self._group) for shard in self._shards]
        if self._merged is not None and self._merged[0] == fences and now_ms - self._merged[1] < ANYWAY_EVERY_MS:
            return False
        parts = [(shard, await self._part(shard, catalogue)) for shard in self._shards]
        whole = await asyncio.to_thread(self._whole, parts, now_ms)
        await self._store.write_all_activity(whole)
        self._merged = fences, now_ms
        return True

    async def _part(self, shard: Shard, catalogue: Container[str] | None) -> dict[str, bytes]:
        part = await self._store.activity(shard)
        return {course: value for course, value in part.items() if catalogue is None or course in catalogue}

    def _whole(self, parts: Sequence[tuple[Shard, dict[str, bytes]]], now_ms: int) -> AllActivity:
        vectors = []
        for shard, part in parts:
            try:
                vectors.append(unpacked([*part.values()]))
            except ValueError:
                problem = "holds a value that is no course's activity"
                raise UnreadableState(self._keys.trend(shard), problem) from None
        ids, whole = merged([([*part], found) for (_, part), found in zip(parts, vectors, strict=True)])
        return AllActivity(now_ms, tuple(ids), b"".join(packed(whole)))
