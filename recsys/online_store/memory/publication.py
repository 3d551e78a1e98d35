"""The model pointer in memory, and what follows from it for lists."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from recsys.keys import Shard
from recsys.online_store.memory.shard import ShardTable
from recsys.online_store.packing import unpack_top
from recsys.online_store.pointer import Line, ModelPointer


class MemoryPublication:
    """The model of `Control`, and what `Lists` does when it moves, in memory."""

    def __init__(self, shards: ShardTable) -> None:
        self._shards = shards
        self._model: ModelPointer | None = None
        self._previous_model: ModelPointer | None = None

    async def model(self) -> ModelPointer | None:
        return self._model

    async def previous_model(self) -> ModelPointer | None:
        return self._previous_model

    async def restore_model(self, pointer: ModelPointer) -> None:
        self._model = self._model or pointer

    async def publish_model(
        self, pointer: ModelPointer, *, replacing: ModelPointer | None, over_unreadable: bool = False
    ) -> bool:
        if self._model not in (None, replacing):
            return False
        self._previous_model, self._model = self._model or self._previous_model, pointer
        return True

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        if self._model is not None:
            for shard in shards:
                self._shards[shard].published = self._model
        return self._model

    async def drop_outdated_lists(self, shard: Shard) -> int:
        state = self._shards[shard]
        if state.published is None:
            return 0
        outdated = [
            user for user, packed in state.tops.items() if not state.published.serves(unpack_top(packed).model_version)
        ]
        for user in outdated:
            state.dirty.setdefault(user, 0)
            del state.tops[user]
        return len(outdated)

    async def mark_due_lists(self, shard: Shard, line: Line) -> AsyncGenerator[int, None]:
        state = self._shards[shard]
        for user, packed in list(state.tops.items()):
            due = line.is_due(user, unpack_top(packed).model_version)
            if due and user not in state.dirty and state.published is not None and state.published.line is not None:
                state.dirty[user] = 0
                yield 1
