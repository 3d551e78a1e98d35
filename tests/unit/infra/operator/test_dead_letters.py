"""Dead letters read, selected and made into what is sent back, without a broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndTimestamp

from infra.operator.dead_letter_learners import noting_learners
from infra.operator.dead_letter_replay import Account, Attempts, Left
from infra.operator.dead_letter_text import escaped, line
from infra.operator.dead_letters import DeadLetterTopic, Selection
from recsys.dead_letters import DeadLetter, decode
from recsys.errors import ConfigurationError
from recsys.kafka.bulk_producer import Record

TOPIC = "i.dlq"


@dataclass
class FakeConsumer:
    """A log of records per partition, as kafka-python's consumer shows it."""

    logs: Mapping[int, Sequence[Any]]
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(self.logs) if topic == TOPIC else None

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self.logs[tp.partition]) for tp in partitions}

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        found: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        for tp, at_ms in times.items():
            later = [record for record in self.logs[tp.partition] if record.timestamp >= at_ms]
            found[tp] = OffsetAndTimestamp(later[0].offset, later[0].timestamp, -1) if later else None
        return found

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, Sequence[Any]]:
        found = {}
        for tp, position in self.positions.items():
            if position < len(self.logs[tp.partition]):
                found[tp] = self.logs[tp.partition][position : position + 2]
                self.positions[tp] += len(found[tp])
        return found


@dataclass(frozen=True)
class FakeRecord:
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def record(
    offset: int,
    value: bytes | None = b"junk",
    *,
    key: bytes | None = b"u",
    reason: str = "not_json",
    replays: bytes = b"0",
    own: Sequence[tuple[str, bytes | None]] = (),
    partition: int = 0,
    omitted: bool = False,
) -> FakeRecord:
    added = [
        ("__streams.errors.message", b"expected, received"),
        ("dlq.reason", reason.encode()),
        ("dlq.replay_count", replays),
    ]
    headers = [*own, *added, *([("dlq.omitted", b"value")] if omitted else [])]
    return FakeRecord(partition, offset, 1000 * offset, key, value, headers)


def topic(*records: FakeRecord) -> DeadLetterTopic:
    partitions = {each.partition for each in records}
    return DeadLetterTopic(FakeConsumer({p: [r for r in records if r.partition == p] for p in partitions}), TOPIC)


def letters(*records: FakeRecord) -> list[DeadLetter]:
    return [decode(each, each.partition) for each in records]


def test_every_letter_is_read_once_and_the_filters_are_half_open() -> None:
    dlq = topic(*(record(n, reason="empty" if n % 2 else "schema") for n in range(7)), record(0, partition=1))
    seen: list[tuple[int, int]] = []
    assert len(list(dlq.letters(Selection(), lambda done, total: seen.append((done, total))))) == 8
    assert seen[-1] == (8, 8)
    chosen = dlq.letters(Selection(frozenset({"empty", "bad_id"}), since_ms=1000, until_ms=5000))
    assert [letter.offset for letter in chosen] == [1, 3]
    assert list(dlq.letters(Selection(since_ms=10**9))) == []
    assert dlq.letter(0, 6).offset == 6
    with pytest.raises(ConfigurationError, match=r"partition 0, offset 7; it holds these .*: 0: 0–6, 1: 0–0$"):
        dlq.letter(0, 7)
    with pytest.raises(ConfigurationError, match="Kafka has no topic other: `recsys topics` creates it"):
        DeadLetterTopic(FakeConsumer({}), "other")


def test_what_goes_back_is_the_record_and_a_count_one_higher() -> None:
    own = [("a", b"\xff"), ("b", None), ("a", b"2")]
    account = Account()
    back = list(account.records(letters(record(0, b"\x00v", key=b"k\xff", own=own, replays=b"1")), Attempts([]), 3))
    assert back == [Record(b"k\xff", b"\x00v", (("a", b"\xff"), ("a", b"2"), ("dlq.replay_count", b"2")))]
    assert (account.replayed, account.left) == ({"not_json": 1}, {})


def test_what_is_left_alone_is_counted_by_why() -> None:
    account = Account()
    chosen = letters(
        record(0, b"a", replays=b"3"), record(1, b"b", omitted=True), record(2, None, key=None), record(3, b"c")
    )
    assert len(list(account.records(chosen, Attempts(chosen), 3))) == account.total == 1
    assert account.left == {Left.REPLAYED_OFTEN: 1, Left.INCOMPLETE: 1, Left.NOTHING: 1}


def test_a_letter_whose_replay_was_refused_again_is_left_to_its_newer_letter() -> None:
    """So each run replays a record once, however many letters it has left behind by then."""
    own: list[tuple[str, bytes | None]] = [("ce_id", b"e1"), ("null", None)]
    topic_now = [record(0, own=own), record(1, b"other")]
    for attempt in range(1, 5):
        chosen = letters(*topic_now)
        account = Account()
        back = list(account.records(chosen, Attempts(chosen), 3))
        sent = [one for one in back if one.value == b"junk"]
        assert len(sent) == (1 if attempt <= 3 else 0)
        for one in sent:
            topic_now.append(record(len(topic_now), one.value, own=one.headers[:-1], replays=one.headers[-1][1] or b""))
    assert account.left == {Left.REFUSED_AGAIN: 3, Left.REPLAYED_OFTEN: 1}


def test_what_an_erased_learner_did_before_is_not_sent_back_whatever_names_them() -> None:
    erased_ms = 5000
    by_value = json.dumps({"user_id": "v", "timestamp": 9_000, "value": "far too much"}).encode()
    late_delivery = json.dumps({"user_id": "v", "timestamp": 4_000, "type": "unheard"}).encode()
    chosen = letters(
        record(0, b"junk", key=b"u"),
        record(1, by_value, key=None),
        record(2, b"junk", key=None, own=[("ce_userid", b"u")]),
        record(9, late_delivery, key=b"v"),
        record(8, by_value, key=b"v"),
        record(3, b"junk", key=b"w"),
        record(4, b"[" * 100_000, key=b"w"),
    )
    learners: set[str] = set()
    attempts = Attempts(noting_learners(chosen, learners))
    assert learners == {"u", "v", "w"}
    account = Account()
    back = list(account.records(chosen, attempts, 3, {"u": erased_ms, "v": erased_ms}))
    assert [one.value for one in back] == [by_value, b"junk", b"[" * 100_000]
    assert account.left == {Left.ERASED: 4}


def test_what_is_printed_cannot_drive_a_terminal() -> None:
    letter = decode(record(0, b"\x1b[2J\r\n\xff", key="\x1b]0;x\x07ü".encode()), 0)
    assert line(letter) == (r"0/0 1970-01-01T00:00:00.000Z not_json replays=0 key=\x1b]0;x\x07ü expected, received")
    assert escaped("a\u202eb\ud800\n") == r"a\u202eb\ud800\n"
