"""A new effect is one projection and one line where it is registered: fold, both stores and rebuild run it unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recsys.keys import Partition, Shard
from recsys.online_store import OnlineStore, ShardState
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import (
    Bound,
    CounterAdd,
    HashFloats,
    HashText,
    Operation,
    Read,
    ReadFloats,
    ReadText,
    SetAdd,
)
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.projections import Events
from stream.rebuild.fold_log import BulkFold, write_shard
from tests.doubles.stream import RULES, FakeRecord, event

GROUP, SHARD = "g", Shard(0)
LAST, SESSIONS, DEVICES, TOUCHES = "last", "session", "devices", "touches"


class LastTouch:
    """Learner → course → event time of the latest touch, and a little of every other type of state."""

    def reads(self, events: Events) -> Sequence[Read]:
        return [ReadFloats(LAST, events.touched), ReadText(SESSIONS, events.touched, "latest")]

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        latest: dict[str, dict[str, float]] = {}
        sessions = {user: state.texts[SESSIONS][user] for user in events.touched}
        for each in events.events:
            touched = latest.setdefault(each.user_id, {})
            before = touched.get(each.course_id, state.floats[LAST][each.user_id][each.course_id])
            touched[each.course_id] = max(before, float(each.timestamp))
            sessions[each.user_id] = max(sessions[each.user_id], each.session_id or "")
        return [
            HashFloats(LAST, latest, Bound(50)),
            HashText(SESSIONS, ("latest", "of"), {user: (session, user) for user, session in sessions.items()}),
            SetAdd(DEVICES, {user: [f"device of {user}"] for user in latest}),
            CounterAdd(TOUCHES, {"touches": len(events.events)}),
        ]


WITH_LAST_TOUCH: FoldRules = replace(RULES, more_projections=(LastTouch(),))
RECORDS = [
    event(n, f"u{n % 7}", f"c{n % 3}", at=1_600_000_000_000 + 1000 * (n * 31 % 50), session_id=f"s{n % 5}")
    for n in range(60)
]


async def as_a_worker_does(store: OnlineStore, records: Sequence[FakeRecord], rules: FoldRules) -> None:
    for start in range(0, len(records), 13):
        batch = decode_records(records[start : start + 13], 0, rules)  # type: ignore[arg-type]
        state = await store.read_shard(SHARD, GROUP, batch.reads(rules))
        assert await store.commit(SHARD, GROUP, state.fence, records[start].offset, fold(batch, state, rules))


async def latest(store: OnlineStore) -> ShardState:
    """What the projection stored of every learner."""
    touched = {f"u{n}": [f"c{m}" for m in range(3)] for n in range(7)}
    return await store.read_shard(SHARD, GROUP, [ReadFloats(LAST, touched), ReadText(SESSIONS, touched, "latest")])


def expected() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {f"u{n}": {f"c{m}": 0.0 for m in range(3)} for n in range(7)}
    for n in range(60):
        courses = found[f"u{n % 7}"]
        courses[f"c{n % 3}"] = max(courses[f"c{n % 3}"], 1_600_000_000_000.0 + 1000 * (n * 31 % 50))
    return found


async def test_it_is_folded_into_either_store(store: OnlineStore) -> None:
    await as_a_worker_does(store, RECORDS, WITH_LAST_TOUCH)
    assert (await latest(store)).floats[LAST] == expected()


async def test_a_rebuild_folds_and_writes_it_as_the_workers_do(store: OnlineStore) -> None:
    live = MemoryStore()
    await as_a_worker_does(live, RECORDS, WITH_LAST_TOUCH)
    bulk = BulkFold(WITH_LAST_TOUCH, past={})
    await bulk.add([(Partition(0), record) for record in RECORDS])
    await write_shard(bulk.memory.contents(SHARD), store, SHARD, group=GROUP, fence=59)
    written, wanted = await latest(store), await latest(live)
    assert (written.floats, written.texts) == (wanted.floats, wanted.texts)
    assert written.floats[LAST] == expected()


async def test_the_others_do_not_notice_it(store: OnlineStore) -> None:
    plain = MemoryStore()
    await as_a_worker_does(plain, RECORDS, RULES)
    await as_a_worker_does(store, RECORDS, WITH_LAST_TOUCH)
    users = [f"u{n}" for n in range(7)]
    assert await store.user_states(SHARD, users) == await plain.user_states(SHARD, users)
    assert (await store.trend(SHARD, 9)).sums == (await plain.trend(SHARD, 9)).sums
    assert await store.counts(SHARD) == await plain.counts(SHARD)
