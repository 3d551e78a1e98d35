"""The oracle against numbers computed by hand, and against itself: it must be able to say no."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.faults.load import Load
from tests.faults.oracle import LANDMARK_MS, Shard, fold_topic, target_of
from tests.faults.state import StoredShard
from tests.faults.topic import DeadLetter, LogRecord
from tests.faults.verdict import Verdict, judge

DAY_MS = 86_400_000
# 30 days after the landmark: an event then weighs twice its weight in engagement, and 2³ times in trending.
AT_MS = LANDMARK_MS + 30 * DAY_MS
ARRIVAL_MS = AT_MS + 1000


def record(offset: int, *, partition: int = 0, raw: bytes | None = None, **fields: Any) -> LogRecord:
    event = {
        "event_id": f"e{offset}",
        "user_id": "ada",
        "course_id": "c1",
        "type": "click",
        "timestamp": AT_MS,
        **fields,
    }
    return LogRecord(partition, offset, ARRIVAL_MS, b"k", json.dumps(event).encode() if raw is None else raw, ())


LOG = [
    record(0),  # click: 5
    record(1, type="view"),  # 1
    record(2, event_id="e0", type="enroll"),  # a repeat of the first event's id, whatever it says
    record(3, raw=b"{"),  # refused
    record(4, type="progress", value=0.5),  # 2 × 0.5
    record(5, type="rate", value=1, course_id="c2"),  # 3 × (1 − 3)
    record(6, type="dismiss", course_id="c3"),  # −5, never again
    record(7, timestamp=LANDMARK_MS, course_id="c4"),  # 5 at the landmark itself
    record(8, user_agent="Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", user_id="bot"),
]


def stored(shard: Shard) -> StoredShard:
    """The state that a faultless worker leaves."""
    return StoredShard(
        fence=shard.fence,
        engagement={pair: each.value for pair, each in shard.engagement.items()},
        done={user: set(courses) for user, courses in shard.done.items()},
        trend={course: each.value for course, each in shard.trend.items()},
        bots={user: dict(fields) for user, fields in shard.bots.items()},
        counts=Counter(shard.counts),
    )


def letters(shard: Shard) -> list[DeadLetter]:
    return [DeadLetter(0, offset, value, reason) for offset, (value, reason) in shard.refused.items()]


@pytest.fixture
def shard() -> Shard:
    return fold_topic(LOG, 1)[0]


def verdict(shard: Shard, have: StoredShard, dead: list[DeadLetter] | None = None) -> Verdict:
    return judge({0: shard}, {0: have}, letters(shard) if dead is None else dead)


def test_a_hand_computed_log(shard: Shard) -> None:
    sums = {pair: each.value for pair, each in shard.engagement.items()}
    assert sums == {
        ("ada", "c1"): pytest.approx(2 * (5 + 1 + 1)),
        ("ada", "c2"): pytest.approx(2 * -6),
        ("ada", "c3"): pytest.approx(2 * -5),
        ("ada", "c4"): pytest.approx(5),
        ("bot", "c1"): pytest.approx(2 * 5),
    }
    trend = {course: each.value for course, each in shard.trend.items()}
    assert trend == {"c1": pytest.approx(8 * (5 + 1 + 1 + 5)), "c4": pytest.approx(5)}
    assert shard.done == {"ada": {"c3"}}
    assert shard.counts == {"accepted": 7, "duplicate": 1, "refused": 1}
    assert (shard.fence, shard.refused) == (8, {3: (b"{", "not_json")})
    minute = AT_MS // 60_000
    assert shard.bots == {
        "ada": {"features": f"{minute},5,0,0"},
        "bot": {"features": f"{minute},1,0,1", "state": "bot", "reasons": "user agent is a declared crawler"},
    }


def test_progress_to_the_end_is_done_and_an_old_worker_may_not_have_known() -> None:
    log = [
        record(0, type="progress", value=0.9),
        record(1, type="progress", value=0.89, course_id="c2"),
        record(2, type="enroll", course_id="c3"),
    ]
    shard = fold_topic(log, 1)[0]
    assert shard.done == {"ada": {"c1", "c3"}}
    old = stored(shard)
    old.done["ada"].discard("c1")
    assert not verdict(shard, old).passed
    assert judge({0: shard}, {0: old}, [], old_workers=True).passed
    old.done["ada"].discard("c3")
    assert not judge({0: shard}, {0: old}, [], old_workers=True).passed


def test_busy_minutes_make_a_suspect_then_a_bot() -> None:
    log = [record(n, timestamp=AT_MS - (3 - n // 61) * 60_000) for n in range(61 * 3)]
    assert fold_topic(log[:61], 1)[0].bots["ada"]["state"] == "suspect"
    full = fold_topic(log, 1)[0].bots["ada"]
    assert (full["state"], full["reasons"]) == ("bot", "3 min with more than 60 events")
    assert "state" not in fold_topic(log[:60], 1)[0].bots["ada"]


@pytest.mark.parametrize(
    ("key", "hashed"),
    # From Kafka's own UtilsTest.testMurmur2.
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_the_partitioner_is_kafkas(key: str, hashed: int) -> None:
    assert target_of(key, 2**31) == hashed & 0x7FFFFFFF


def test_a_stray_record_counts_where_it_lies_and_applies_where_it_belongs() -> None:
    target = target_of("ada", 6)
    away = (target + 1) % 6
    shards = fold_topic([record(0, partition=away), record(0, partition=target)], 6)
    assert shards[away].counts == {"rerouted": 1}
    assert shards[target].counts == {"accepted": 1}


def test_what_expired_and_what_must_be_refused() -> None:
    shard = fold_topic(LOG, 1, expired={0: range(2)}, also_refused=lambda event: event.course_id == "c4")[0]
    assert shard.counts == {"expired": 2, "accepted": 5, "refused": 2}


def test_the_right_state_passes(shard: Shard) -> None:
    assert verdict(shard, stored(shard)).passed


def test_a_lost_event_is_seen(shard: Shard) -> None:
    have = stored(fold_topic([*LOG[:1], *LOG[2:]], 1)[0])
    found = verdict(shard, have)
    assert (found.passed, found.lost, found.doubled) == (False, 1, 0)


def test_a_doubled_event_is_seen(shard: Shard) -> None:
    have = stored(shard)
    have.engagement["ada", "c1"] += 10.0
    found = verdict(shard, have)
    assert (found.passed, found.lost, found.doubled) == (False, 0, 1)
    have = stored(shard)
    have.counts["accepted"] += 3
    assert verdict(shard, have).doubled == 3


@pytest.mark.parametrize("factor", [1 + 1e-8, 1 - 1e-8])
def test_a_score_off_by_more_than_the_tolerance_is_seen(shard: Shard, factor: float) -> None:
    have = stored(shard)
    have.engagement["ada", "c1"] *= factor
    assert not verdict(shard, have).passed
    have.engagement["ada", "c1"] = shard.engagement["ada", "c1"].value * (1 + 1e-10)
    assert verdict(shard, have).passed


def test_a_missing_or_changed_dead_letter_is_seen(shard: Shard) -> None:
    assert verdict(shard, stored(shard), []).lost == 1
    changed = verdict(shard, stored(shard), [DeadLetter(0, 3, b"}", "not_json")])
    assert (changed.passed, changed.wrong) == (False, 1)
    assert not verdict(shard, stored(shard), [DeadLetter(0, 3, b"{", "too_large")]).passed
    assert not verdict(shard, stored(shard), [*letters(shard), DeadLetter(0, 4, b"", "fold_failed")]).passed
    assert verdict(shard, stored(shard), letters(shard) * 2).passed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda have: setattr(have, "fence", 7),
        lambda have: have.done["ada"].clear(),
        lambda have: have.bots["bot"].pop("state"),
        lambda have: have.trend.pop("c4"),
        lambda have: have.counts.update(duplicate=1),
        lambda have: have.engagement.update({("eve", "c1"): 1.0}),
    ],
)
def test_every_part_of_the_state_is_compared(shard: Shard, spoil: Any) -> None:
    have = stored(shard)
    spoil(have)
    assert not verdict(shard, have).passed


def test_the_load_is_the_same_for_the_same_seed_and_has_every_kind_of_record() -> None:
    load = Load(seed=3, partitions=6, rate=100.0, start_ms=AT_MS)
    first, second = load.records(), load.records()
    records = [next(first) for _ in range(20_000)]
    assert records[:500] == [next(second) for _ in range(500)]
    log = [LogRecord(one.partition, n, AT_MS + 3_600_000, one.key, one.value, ()) for n, one in enumerate(records)]
    counts: Counter[str] = Counter()
    for shard in fold_topic(log, 6).values():
        counts += shard.counts
    assert counts["duplicate"] == pytest.approx(200, rel=0.3)
    assert counts["refused"] == pytest.approx(100, rel=0.3)
    assert counts["rerouted"] == pytest.approx(20, rel=0.7)
    assert sum(counts.values()) == len(records)
