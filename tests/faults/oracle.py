"""The oracle: what Redis must hold, folded from the topic alone.

Shares no code with `stream`, `recsys.record` or `recsys.engagement`: record, decay, trending, partitioner and bot
rules are written anew from their published forms (DESIGN; Kafka's murmur2; Cormode et al. 2009; docs/faults.md). Only
the event schema (`recsys.events.decode`) is the system's own, because it defines what an event is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from recsys.errors import InvalidEvent
from recsys.events import Interaction, decode
from tests.faults.habits import Habits, target_of
from tests.faults.packed import HandedOn, handed_on
from tests.faults.pairs import Pair, pair_of
from tests.faults.shards import Learner, Shard
from tests.faults.topic import LogRecord

LONGEST_PATH = 16
"""Learners that records were handed on through, after which they stay."""


class Fold:
    """Folds the records of a topic, partition by partition in offset order.

    Args:
        partitions: Partition count.
        also_refused: Events that the workers of this run must dead-letter though they are valid.
    """

    def __init__(self, partitions: int, also_refused: Callable[[Interaction], bool]) -> None:
        self.shards = {partition: Shard() for partition in range(partitions)}
        self._also_refused = also_refused
        self._arrived: set[tuple[int, bytes | None]] = set()
        self._awaited: list[tuple[int, int, int, bytes | None]] = []
        self._must_be_handed: dict[tuple[str, str], Learner] = {}
        self._handed: dict[tuple[str, str], Learner] = {}

    def add(self, record: LogRecord) -> None:
        """The next record of its partition."""
        shard = self.shards[record.partition]
        handed = handed_on(record)
        if handed is not None:
            shard.controls.add(record.offset)
            shard.counts[self._take(shard, handed)] += 1
            return
        event = self._accepted(record)
        if isinstance(event, str):
            shard.counts["refused"] += 1
            shard.refused[record.offset] = (record.value, event)
        elif (target := target_of(event.user_id, len(self.shards))) != record.partition:
            shard.counts["rerouted"] += 1
            self._awaited.append((record.partition, record.offset, target, record.value))
        else:
            self._arrived.add((record.partition, record.value))
            shard.counts[self._apply(shard, event)] += 1

    def expire(self, record: LogRecord) -> None:
        """A record that retention deleted before it was applied: it changes nothing, and it had been sent."""
        self.shards[record.partition].counts["expired"] += 1
        handed = handed_on(record)
        if handed is not None:
            _collect(self._handed, (handed.path[-1], handed.into), handed.pairs, handed.erased_until)
        self._arrived.add((record.partition, record.value))

    def end(self) -> None:
        """Sums up, when every record was added."""
        for partition, offset, target, value in self._awaited:
            if (target, value) not in self._arrived:
                line = f"copy of {partition}/{offset}: expected one in partition {target}, received none"
                self.shards[partition].missing.append(line)
        for partition, line in self._missing_of_merges():
            self.shards[partition].missing.append(line)
        for shard in self.shards.values():
            shard.sum_up()

    def _accepted(self, record: LogRecord) -> Interaction | str:
        """The event, or the reason it is refused for ("" where the case does not say which)."""
        try:
            event = decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
        except InvalidEvent as error:
            return str(error.reason)
        return "" if self._also_refused(event) else event

    def _apply(self, shard: Shard, event: Interaction) -> str:
        """What the event is counted as."""
        learner = shard.learners.setdefault(event.user_id, Learner())
        if event.type == "merge":
            return self._merge(learner, event)
        if event.type == "erase":
            return self._erase(shard, learner, event)
        pair = pair_of(event).without(learner.erased_until)
        if not pair:
            return "unchanged"
        if learner.merge is not None:
            return self._hand_on(event.user_id, learner, {event.course_id: pair}, 0)
        learner.habits = learner.habits or Habits()
        learner.habits.see(event)
        return "accepted" if shard.join(learner, {event.course_id: pair}) else "unchanged"

    def _erase(self, shard: Shard, learner: Learner, event: Interaction) -> str:
        """Of a merged id, whoever has the records is erased."""
        if not shard.erase(learner, event.timestamp):
            return "unchanged"
        return "accepted" if learner.merge is None else self._hand_on(event.user_id, learner, {}, event.timestamp)

    def _merge(self, learner: Learner, event: Interaction) -> str:
        """The latest merge of an id holds; the first of all hands on what there is."""
        assert event.into is not None
        merge = (event.timestamp, event.into)
        if learner.merge is not None and learner.merge >= merge:
            return "unchanged"
        pairs, first = learner.pairs, learner.merge is None
        learner.merge = merge
        if first:
            learner.pairs, learner.habits = {}, None
            self._hand_on(event.user_id, learner, pairs, 0)
        return "accepted"

    def _take(self, shard: Shard, handed: HandedOn) -> str:
        """What a merge handed on: joined to its learner, or handed on again by one who was merged, too."""
        _collect(self._handed, (handed.path[-1], handed.into), handed.pairs, handed.erased_until)
        learner = shard.learners.setdefault(handed.into, Learner())
        if learner.merge is not None:
            if not _stays(handed, learner.merge[1]):
                cut = {course: pair.without(learner.erased_until) for course, pair in handed.pairs.items()}
                pairs = {course: pair for course, pair in cut.items() if pair}
                if not pairs and not handed.erased_until:
                    return "unchanged"
                return self._hand_on(handed.into, learner, pairs, handed.erased_until)
            learner.merge = None
        erased = shard.erase(learner, handed.erased_until)
        changed = shard.join(learner, handed.pairs)
        return "accepted" if erased or changed else "unchanged"

    def _hand_on(self, user: str, learner: Learner, pairs: Mapping[str, Pair], erased_until: int) -> str:
        assert learner.merge is not None
        if pairs or erased_until:
            _collect(self._must_be_handed, (user, learner.merge[1]), pairs, erased_until)
        return "rerouted"

    def _missing_of_merges(self) -> Iterator[tuple[int, str]]:
        """The partition of each merged learner of whom not all was handed on, or more than there was, and a line."""
        for (user, into), must in self._must_be_handed.items():
            have = self._handed.get((user, into), Learner())
            if have.pairs != must.pairs or have.erased_until < must.erased_until:
                short = [course for course in must.pairs if have.pairs.get(course) != must.pairs[course]]
                line = (
                    f"merge of {user} into {into}: expected {len(must.pairs)} records handed on, {len(short)} are not"
                )
                yield target_of(user, len(self.shards)), line


def _collect(
    found: dict[tuple[str, str], Learner], way: tuple[str, str], pairs: Mapping[str, Pair], erased: int
) -> None:
    """Joins records that go from one learner to another to what went this way before."""
    learner = found.setdefault(way, Learner())
    learner.erased_until = max(learner.erased_until, erased)
    for course, pair in pairs.items():
        learner.pairs[course] = learner.pairs.get(course, Pair()).joined(pair)


def _stays(handed: HandedOn, into: str) -> bool:
    """Whether a merged learner keeps what comes to it: it went round a cycle, of which it has the smallest id."""
    if into not in handed.path:
        return len(handed.path) >= LONGEST_PATH
    return handed.into <= min(handed.path[handed.path.index(into) :])


def fold_topic(
    records: Iterable[LogRecord],
    partitions: int,
    *,
    also_refused: Callable[[Interaction], bool] = lambda _: False,
    expired: Mapping[int, range] | None = None,
) -> dict[int, Shard]:
    """Folds a whole topic.

    Args:
        records: Every record; those of a partition in offset order.
        partitions: Partition count.
        also_refused: Events that the workers of this run must dead-letter though they are valid.
        expired: Partition → offsets that retention deleted before they were applied; they count as `expired`.

    Returns:
        Partition → what its shard must hold.
    """
    fold = Fold(partitions, also_refused)
    for record in records:
        shard = fold.shards[record.partition]
        shard.fence = record.offset
        if record.offset in (expired or {}).get(record.partition, ()):
            fold.expire(record)
        else:
            fold.add(record)
    fold.end()
    return fold.shards
