"""What the fold of records reads of a shard, and what the registers among it say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from recsys.errors import UnreadableState
from recsys.handed_on import HandedOn
from recsys.keys import ENGAGEMENT, ERASED, MERGED
from recsys.online_store import ShardState
from recsys.online_store.operations import SHARD_ITSELF, Read, ReadValues, ReadWhole
from stream.engagement.record_changes import Event, Merged


def most_courses(max_courses: int) -> int:
    """Records of one learner that are put up with between two evictions."""
    return max_courses + max_courses // 4


def reads_of_records(touched: Mapping[str, Collection[str]]) -> list[Read]:
    """What the fold of events that touch these courses of these learners needs first."""
    some = {user: courses for user, courses in touched.items() if courses}
    learners: list[Read] = [ReadValues(state, {SHARD_ITSELF: touched}) for state in (ERASED, MERGED) if touched]
    return [ReadValues(ENGAGEMENT, some), *learners] if some else learners


def more_reads_of_records(events: Iterable[Event], state: ShardState, max_courses: int) -> list[Read]:
    """What it needs beyond that: all records of learners who are erased or merged, or come near their limit."""
    wanted = dict.fromkeys(event.user_id for event in events if not event.course_id and _cuts(event))
    values, most = state.values.get(ENGAGEMENT, {}), most_courses(max_courses)
    for user, size in state.sizes.get(ENGAGEMENT, {}).items():
        asked = values[user]
        if size + len(asked) > most and size + sum(asked[each] is None for each in asked) > most:
            wanted[user] = None
    for user in state.whole.get(ENGAGEMENT, {}):
        wanted.pop(user, None)
    return [ReadWhole(ENGAGEMENT, wanted)] if wanted else []


def _cuts(event: Event) -> bool:
    """Whether an event about a learner needs all their records."""
    return event.erased_until_ms > 0 if isinstance(event, HandedOn) else True


def erased_ms(state: ShardState, stored: bytes) -> int:
    """The time of an erasure as it is stored, ms since 1970 UTC.

    Raises:
        UnreadableState: It is none.
    """
    try:
        return int(stored)
    except ValueError:
        raise UnreadableState(state.key(ERASED), "holds a time that is no number") from None


def merged_of(state: ShardState, stored: bytes) -> Merged:
    """A merge as it is stored.

    Raises:
        UnreadableState: It is none.
    """
    try:
        at_ms, _, into = stored.decode().partition(" ")
        return Merged(int(at_ms), into)
    except ValueError:
        raise UnreadableState(state.key(MERGED), "holds a merge that is none") from None
