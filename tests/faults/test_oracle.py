"""The oracle against numbers computed by hand, and against itself: it must be able to say no."""

from __future__ import annotations

import json
import struct
from collections import Counter
from typing import Any

import msgspec
import pytest

from tests.faults.habits import target_of
from tests.faults.load import Load
from tests.faults.oracle import fold_topic
from tests.faults.packed import Stored
from tests.faults.pairs import FOR_EVER_MS, LANDMARK_MS, Pair
from tests.faults.shards import Shard
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
    record(0, timestamp=AT_MS + 500),  # click, counts from the first instant of its day, AT_MS: 5
    record(1, type="view"),  # 1
    record(2, event_id="another"),  # a repeat of the first within its day, whatever its id
    record(3, raw=b"{"),  # refused
    record(4, type="progress", value=0.6),  # two quarters: 2 × 2
    record(5, type="rate", value=1, course_id="c2"),  # 3 × (1 − 3)
    record(6, type="dismiss", course_id="c3"),  # −5, never again
    record(7, timestamp=LANDMARK_MS, course_id="c4"),  # 5 at the landmark itself
    record(8, user_agent="Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", user_id="bot"),
]


def stored(shard: Shard) -> StoredShard:
    """The state that a faultless worker leaves."""
    return StoredShard(
        fence=shard.fence,
        records={place: Stored(pair, pair.engagement().value) for place, pair in shard.records.items()},
        erased=dict(shard.erased),
        merged=dict(shard.merged),
        done={user: dict(courses) for user, courses in shard.done.items()},
        trend={course: each.value for course, each in shard.trend.items()},
        terms=shard.terms,
        activity={course: active(*likes) for course, likes in shard.likes.items()},
        bots={user: dict(fields) for user, fields in shard.bots.items()},
        counts=Counter(shard.counts),
    )


def active(every: list[int], first: list[int]) -> tuple[float, ...]:
    """A course's activity, as of its last term."""
    last, days = max(every), (1, 3, 7, 14, 30, 60, 120, 365)
    decayed = [sum(2 ** ((at - last) / DAY_MS / each) for at in every) for each in days]
    firsts = [sum(2 ** ((at - last) / DAY_MS / each) for at in first) for each in (7, 30)]
    return (*decayed, float(len(every)), *firsts, float(len(first)), float(min(every)), float(last))


def letters(shard: Shard) -> list[DeadLetter]:
    return [DeadLetter(0, offset, value, reason) for offset, (value, reason) in shard.refused.items()]


@pytest.fixture
def shard() -> Shard:
    return fold_topic(LOG, 1)[0]


def verdict(shard: Shard, have: StoredShard, dead: list[DeadLetter] | None = None) -> Verdict:
    return judge({0: shard}, {0: have}, letters(shard) if dead is None else dead)


def test_a_hand_computed_log(shard: Shard) -> None:
    sums = {place: pair.engagement().value for place, pair in shard.records.items()}
    assert sums == {
        ("ada", "c1"): pytest.approx(2 * (5 + 1 + 4)),
        ("ada", "c2"): pytest.approx(2 * -6),
        ("ada", "c3"): pytest.approx(2 * -5),
        ("ada", "c4"): pytest.approx(5),
        ("bot", "c1"): pytest.approx(2 * 5),
    }
    trend = {course: each.value for course, each in shard.trend.items() if each.value}
    assert trend == {"c1": pytest.approx(8 * (5 + 1 + 4 + 5)), "c4": pytest.approx(5)}
    assert shard.done == {"ada": {"c3": FOR_EVER_MS}}
    assert shard.counts == {"accepted": 7, "unchanged": 1, "refused": 1}
    assert (shard.fence, shard.refused) == (8, {3: (b"{", "not_json")})
    minute = AT_MS // 60_000
    assert shard.bots == {
        "ada": {"features": f"{minute},6,0,0"},
        "bot": {"features": f"{minute},1,0,1", "state": "bot", "reasons": "user agent is a declared crawler"},
    }


def test_what_is_done_and_what_is_given_back() -> None:
    log = [
        record(0, type="progress", value=0.9),
        record(1, type="progress", value=0.89, course_id="c2"),
        record(2, type="enroll", course_id="c3"),
        record(3, type="unenroll", course_id="c3"),  # at one time, leaving wins
        record(4, type="enroll", course_id="c3", timestamp=AT_MS - 1),  # late
        record(5, type="complete", course_id="c4", timestamp=AT_MS - 1),
        record(6, type="uncomplete", course_id="c4"),
    ]
    shard = fold_topic(log, 1)[0]
    assert shard.done == {"ada": {"c1": FOR_EVER_MS, "c3": AT_MS + 30 * DAY_MS}}
    assert shard.counts == {"accepted": 6, "unchanged": 1}
    assert shard.records["ada", "c4"].engagement().value == 0.0


def test_an_erased_learner_is_nothing_and_begins_anew() -> None:
    log = [
        record(0),
        record(1, type="enroll"),
        record(2, type="erase", timestamp=AT_MS, course_id=""),
        record(3, timestamp=AT_MS - DAY_MS),  # a replay of older events
        record(4, type="erase", timestamp=AT_MS - 1, course_id=""),  # an older erasure
        record(5, timestamp=AT_MS + 5, course_id="c2"),  # a click on the day of the erasure leaves its touch alone
        record(6, type="bookmark", timestamp=AT_MS + 5, course_id="c2"),
    ]
    shard = fold_topic(log, 1)[0]
    assert shard.records == {
        ("ada", "c2"): Pair(states={"bookmark": (AT_MS + 5, False, 0.0)}, touched=AT_MS + 5),
    }
    assert (shard.erased, shard.done) == ({"ada": AT_MS}, {})
    assert shard.counts == {"accepted": 5, "unchanged": 2}
    assert shard.trend["c1"].value == 0.0


def handed(offset: int, into: str, *path: str, **courses: Pair) -> LogRecord:
    """What a merge hands on: records of one view a course, as the fold of the merged learner's partition writes it."""
    packed = {
        course: struct.pack("<d", 0.0)
        + b"\x01"
        + msgspec.msgpack.encode([pair.touched - LANDMARK_MS, 1, *((day - 18_262) * 3 for day, _ in pair.flows)])
        for course, pair in courses.items()
    }
    value = msgspec.msgpack.encode([1, into, path, 0, packed])
    return LogRecord(0, offset, ARRIVAL_MS, into.encode(), value, [("recsys.control", b"handed-on")])


VIEWED = Pair(flows=frozenset({(AT_MS // DAY_MS, 0)}), touched=AT_MS)
MERGE: dict[str, Any] = {"type": "merge", "course_id": "", "into": "eve"}


def test_a_merged_learner_is_another_from_then_on() -> None:
    log = [
        record(0, type="view"),
        record(1, **MERGE),
        handed(2, "eve", "ada", c1=VIEWED),
        record(3, type="view", course_id="c2"),  # is handed on
        handed(4, "eve", "ada", c2=VIEWED),
        handed(5, "eve", "ada", c2=VIEWED),  # sent again by another owner
        record(6, **MERGE),
        record(7, user_id="eve", type="view", course_id="c3"),
    ]
    shard = fold_topic(log, 1)[0]
    assert shard.records == {("eve", "c1"): VIEWED, ("eve", "c2"): VIEWED, ("eve", "c3"): VIEWED}
    assert (shard.merged, shard.missing) == ({"ada": (AT_MS, "eve")}, [])
    assert set(shard.bots) == {"eve"}
    assert shard.counts == {"accepted": 5, "rerouted": 1, "unchanged": 2}
    assert verdict(shard, stored(shard)).passed


@pytest.mark.parametrize("left_out", [2, 4])
def test_what_a_merge_does_not_hand_on_is_lost(left_out: int) -> None:
    log = [
        record(0, type="view"),
        record(1, **MERGE),
        handed(2, "eve", "ada", c1=VIEWED),
        record(3, type="view", course_id="c2"),
        handed(4, "eve", "ada", c2=VIEWED),
    ]
    del log[left_out]
    shard = fold_topic(log, 1)[0]
    found = verdict(shard, stored(shard))
    assert (found.lost, found.passed) == (1, False)
    assert "merge of ada into eve: expected 2 records handed on, 1 are not" in found.differences


def test_what_was_sent_and_deleted_before_it_was_applied_is_not_missing() -> None:
    log = [record(0, type="view"), record(1, **MERGE), handed(2, "eve", "ada", c1=VIEWED)]
    shard = fold_topic(log, 1, expired={0: range(2, 3)})[0]
    assert (shard.missing, shard.counts["expired"], shard.records) == ([], 1, {})


def test_what_a_merge_hands_on_beyond_the_learners_records_is_seen() -> None:
    log = [record(0, type="view"), record(1, **MERGE), handed(2, "eve", "ada", c1=VIEWED, c9=VIEWED)]
    assert fold_topic(log, 1)[0].missing


def test_merges_in_a_cycle_end_at_the_smallest_id() -> None:
    log = [
        record(0, type="view"),
        record(1, **MERGE),
        record(2, user_id="eve", **{**MERGE, "into": "ada"}),
        handed(3, "eve", "ada", c1=VIEWED),
        handed(4, "ada", "ada", "eve", c1=VIEWED),
    ]
    shard = fold_topic(log, 1)[0]
    assert shard.records == {("ada", "c1"): VIEWED}
    assert (shard.merged, shard.missing) == ({"eve": (AT_MS, "ada")}, [])


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
    assert not shards[away].missing
    lost = fold_topic([record(0, partition=away)], 6)
    assert lost[away].missing == [f"copy of {away}/0: expected one in partition {target}, received none"]
    have = {partition: stored(shard) for partition, shard in lost.items()}
    assert judge(lost, have, []).lost == 1


def test_what_expired_and_what_must_be_refused() -> None:
    shard = fold_topic(LOG, 1, expired={0: range(2)}, also_refused=lambda event: event.course_id == "c4")[0]
    assert shard.counts == {"expired": 2, "accepted": 5, "refused": 2}


def test_the_right_state_passes(shard: Shard) -> None:
    assert verdict(shard, stored(shard)).passed


def test_a_lost_event_is_seen(shard: Shard) -> None:
    have = stored(fold_topic([*LOG[:1], *LOG[2:]], 1)[0])
    found = verdict(shard, have)
    assert (found.passed, found.lost, found.doubled) == (False, 1, 0)
    have.counts = Counter(shard.counts)
    assert verdict(shard, have).lost == 1  # by the records, where the counters do not tell


def test_an_event_that_is_folded_twice_is_seen(shard: Shard) -> None:
    have = stored(shard)
    have.counts["unchanged"] += 3
    assert verdict(shard, have).doubled == 3
    have = stored(shard)
    have.trend["c1"] += 40.0
    found = verdict(shard, have)
    assert (found.passed, found.lost, found.doubled) == (False, 0, 1)


@pytest.mark.parametrize("factor", [1 + 1e-8, 1 - 1e-8])
def test_a_score_off_by_more_than_the_tolerance_is_seen(shard: Shard, factor: float) -> None:
    have, place = stored(shard), ("ada", "c1")
    right = have.records[place]
    have.records[place] = right._replace(engagement=right.engagement * factor)
    assert not verdict(shard, have).passed
    have.records[place] = right._replace(engagement=right.engagement * (1 + 1e-10))
    assert verdict(shard, have).passed
    have.trend["c1"] *= factor
    assert not verdict(shard, have).passed


def test_what_old_workers_do_not_know_may_have_a_dead_letter(shard: Shard) -> None:
    unknown = [*letters(shard), DeadLetter(0, 4, b"", "unknown_type")]
    assert not verdict(shard, stored(shard), unknown).passed
    assert judge({0: shard}, {0: stored(shard)}, unknown, old_workers=True).passed


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
        lambda have: have.terms.update(c4=1),
        lambda have: have.activity.pop("c1"),
        lambda have: have.activity.update(c9=have.activity["c1"]),
        lambda have: have.activity.update(c1=(2.0 * have.activity["c1"][0], *have.activity["c1"][1:])),
        lambda have: have.activity.update(c1=(*have.activity["c1"][:-1], 0.0)),
        lambda have: have.counts.update(unchanged=1),
        lambda have: have.records.update({("eve", "c1"): Stored(Pair(touched=1), 0.0)}),
        lambda have: have.records.update({("ada", "c1"): Stored(Pair(touched=1), 20.0)}),
        lambda have: have.erased.update(ada=1),
        lambda have: have.merged.update(ada=(1, "eve")),
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
    assert counts["unchanged"] > 200
    assert counts["refused"] == pytest.approx(100, rel=0.3)
    assert counts["rerouted"] > 20
    assert sum(counts.values()) == len(records)
