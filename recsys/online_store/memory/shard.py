"""One shard in memory, and what it holds of a learner."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from recsys import keys
from recsys.course_sums.blocks import in_order, with_blocks
from recsys.keys import Shard
from recsys.online_store.contents import ShardContents
from recsys.online_store.operations import SHARD_ITSELF
from recsys.online_store.pointer import ModelPointer
from recsys.online_store.values import (
    Guard,
    UserState,
)
from recsys.record import engagement_of
from recsys.record.sums import sum_of


@dataclass(slots=True)
class MemoryShard:
    """All that is kept of one shard."""

    contents: ShardContents = field(default_factory=ShardContents)
    fences: dict[str, int] = field(default_factory=dict)
    tops: dict[str, bytes] = field(default_factory=dict)
    published: ModelPointer | None = None
    guards: defaultdict[str, Guard] = field(default_factory=lambda: defaultdict(Guard))
    guarded_fences: dict[str, int | None] = field(default_factory=dict)
    tries: Counter[tuple[str, int]] = field(default_factory=Counter)

    def user(self, user_id: str) -> UserState:
        records = self.contents.values[keys.ENGAGEMENT].get(user_id, {})
        engagement = {course: engagement_of(record) for course, record in records.items()}
        return UserState(engagement, self.done(user_id))

    def done(self, user_id: str) -> dict[str, int]:
        held = self.contents.values[keys.DONE].get(user_id, {})
        return {course: int(until) for course, until in held.items()}

    @property
    def trend(self) -> dict[str, float]:
        return {course: sum_of(value) for course, value in self.course_sums.items()}

    @property
    def course_sums(self) -> dict[str, bytes]:
        held, blocks = (self.contents.values[state].get(SHARD_ITSELF, {}) for state in (keys.TREND, keys.TERMS))
        return with_blocks(held, in_order(blocks))

    @property
    def dirty(self) -> dict[str, int]:
        return self.contents.marks[keys.DIRTY]


ShardTable = defaultdict[Shard, MemoryShard]
