"""The course features that workers keep live are those that a retrain at the same instant would learn from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from batch.encoding import EngagementRule, encode
from batch.history import History, Reading
from batch.preparation import prepare
from batch.ranking.snapshots import activity_before
from recsys.catalog import Course
from recsys.course_sums.activity import BYTES, activity, by_row, unpacked
from recsys.exclusion import Exclusion
from recsys.keys import KeySpace, Topology, partition_of
from recsys.model.course_features import NAMES, course_features
from recsys.online_store import OnlineStore
from recsys.record import RecordRules
from stream.engagement.course_activity import ActivityMerge
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.steps import read_state
from tests.doubles.stream import ARRIVAL, HOUR_MS, FakeRecord, event

GROUP, PARTITIONS = "g", 4
RULES = FoldRules(records=RecordRules(), topology=Topology(PARTITIONS))
COURSES = [Course(course_id=f"c{n}", title="t") for n in range(30)]
KINDS = {"view": None, "click": None, "play": None, "enroll": None, "progress": 0.6, "rate": 5.0, "dismiss": None}


def history(events: int) -> list[FakeRecord]:
    """Half a year of events in order, some of them sent again, of courses that come up one after the other."""
    rng, log = random.Random(4), list[FakeRecord]()
    for n in range(events):
        at = ARRIVAL - 180 * 24 * HOUR_MS + n * (180 * 24 * HOUR_MS // events)
        kind = rng.choice([*KINDS])
        course = COURSES[min(rng.randrange(len(COURSES)), 1 + n * len(COURSES) // events)].course_id
        value: dict[str, Any] = {} if KINDS[kind] is None else {"value": KINDS[kind]}
        log.append(event(n, f"u{rng.randrange(50)}", course, kind, at=at, arrival=at, **value))
        if rng.random() < 0.1:
            log.append(log[-1])
    return log


async def folded(store: OnlineStore, log: list[FakeRecord]) -> None:
    """As workers of four partitions do, in chunks of 100."""
    parts: list[list[FakeRecord]] = [[] for _ in range(PARTITIONS)]
    for record in log:
        assert record.key is not None
        parts[partition_of(record.key.decode(), PARTITIONS)].append(record)
    for partition, part in zip(RULES.topology.every_partition(), parts, strict=True):
        shard = RULES.topology.shard(partition)
        for start in range(0, len(part), 100):
            batch = decode_records(part[start : start + 100], partition, RULES)
            state = await read_state(store, shard, GROUP, batch, RULES)
            assert state is not None
            assert await store.commit(shard, GROUP, state.fence, start, fold(batch, state, RULES))


async def test_they_are_those_of_a_retrain_at_that_instant(store: OnlineStore) -> None:
    log = history(3000)
    await folded(store, log)
    await ActivityMerge(store, RULES.topology.shards(), GROUP, KeySpace()).merge(None, ARRIVAL)
    merged = await store.all_activity()
    assert merged is not None
    values = [merged.vectors[start : start + BYTES] for start in range(0, len(merged.vectors), BYTES)]
    rows = {course.course_id: row for row, course in enumerate(COURSES)}
    live = course_features(activity(by_row(merged.course_ids, unpacked(values), rows), ARRIVAL))

    reading = Reading()
    for record in log:
        reading.add(record)
    prepared = prepare(History(reading.frame(), tuple(COURSES), "topic"), at_ms=ARRIVAL, rules=RULES.records)
    rule = EngagementRule(RULES.records.weights, RULES.records.decay, Exclusion())
    trained = course_features(activity_before(encode(prepared.events, prepared.courses, rule), ARRIVAL))
    assert live.shape == (len(COURSES), len(NAMES))
    assert (trained.std(axis=0)[[0, 8, 9, 12]] > 0.1).all()
    np.testing.assert_allclose(live, trained, rtol=1e-6, atol=1e-6)
