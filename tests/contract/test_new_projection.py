"""A new effect is one projection and one line where it is registered: fold, both stores and rebuild run it unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recsys.events import Interaction
from recsys.keys import Partition, Shard
from recsys.online_store import OnlineStore, ShardState
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import CounterAdd, HashText, Operation, PutValues, Read, ReadText, ReadValues
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.projections import Events
from stream.engagement.steps import read_state
from stream.rebuild.fold_log import BulkFold
from stream.rebuild.write_shard import write_shard
from tests.doubles.stream import RULES, FakeRecord, event

GROUP, SHARD = "g", Shard(0)
LAST, SESSIONS, TOUCHES = "last", "session", "touches"


class LastTouch:
    """Learner → course → event time of the latest touch, and a little of every other type of state."""

    def reads(self, events: Events) -> Sequence[Read]:
        return [ReadValues(LAST, events.touched), ReadText(SESSIONS, events.touched, "latest")]

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        latest: dict[str, dict[str, bytes]] = {}
        sessions = {user: state.texts[SESSIONS][user] for user in events.touched}
        for each in events.events:
            assert isinstance(each, Interaction)
            touched = latest.setdefault(each.user_id, {})
            before = touched.get(each.course_id) or state.values[LAST][each.user_id][each.course_id] or b"0"
            touched[each.course_id] = b"%d" % max(int(before), each.timestamp)
            sessions[each.user_id] = max(sessions[each.user_id], each.session_id or "")
        return [
            PutValues(LAST, latest),
            HashText(SESSIONS, ("latest", "of"), {user: (session, user) for user, session in sessions.items()}),
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
        state = await read_state(store, SHARD, GROUP, batch, rules)
        assert state is not None
        assert await store.commit(SHARD, GROUP, state.fence, records[start].offset, fold(batch, state, rules))


async def latest(store: OnlineStore) -> ShardState:
    """What the projection stored of every learner."""
    touched = {f"u{n}": [f"c{m}" for m in range(3)] for n in range(7)}
    return await store.read_shard(SHARD, GROUP, [ReadValues(LAST, touched), ReadText(SESSIONS, touched, "latest")])


def expected() -> dict[str, dict[str, bytes]]:
    found = {f"u{n}": {f"c{m}": b"0" for m in range(3)} for n in range(7)}
    for n in range(60):
        courses = found[f"u{n % 7}"]
        courses[f"c{n % 3}"] = b"%d" % max(int(courses[f"c{n % 3}"]), 1_600_000_000_000 + 1000 * (n * 31 % 50))
    return found


async def test_it_is_folded_into_either_store(store: OnlineStore) -> None:
    await as_a_worker_does(store, RECORDS, WITH_LAST_TOUCH)
    assert (await latest(store)).values[LAST] == expected()


async def test_a_rebuild_folds_and_writes_it_as_the_workers_do(store: OnlineStore) -> None:
    live = MemoryStore()
    await as_a_worker_does(live, RECORDS, WITH_LAST_TOUCH)
    bulk = BulkFold(WITH_LAST_TOUCH, past={})
    await bulk.add([(Partition(0), record) for record in RECORDS])
    await write_shard(bulk.memory.contents(SHARD), store, SHARD, group=GROUP, fence=59)
    written, wanted = await latest(store), await latest(live)
    assert (written.values, written.texts) == (wanted.values, wanted.texts)
    assert written.values[LAST] == expected()


async def test_the_others_do_not_notice_it(store: OnlineStore) -> None:
    plain = MemoryStore()
    await as_a_worker_does(plain, RECORDS, RULES)
    await as_a_worker_does(store, RECORDS, WITH_LAST_TOUCH)
    users = [f"u{n}" for n in range(7)]
    assert await store.user_states(SHARD, users) == await plain.user_states(SHARD, users)
    assert (await store.trend(SHARD, 9)).sums == (await plain.trend(SHARD, 9)).sums
    assert await store.counts(SHARD) == await plain.counts(SHARD)
