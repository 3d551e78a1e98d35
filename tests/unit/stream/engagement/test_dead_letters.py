"""What a dead letter carries: the record unchanged, KIP-1034's headers as text, ours; and a size that fits a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import decode
from stream.engagement import side_outputs as dead_letters
from stream.engagement.fold import MAX_PRODUCED_BYTES, Refused
from stream.engagement.side_outputs import SideOutputs, replay_count
from tests.doubles.stream_room import FakeRecord


class RecordingProducer:
    """Acknowledges all and remembers it."""

    def __init__(self, **_: Any) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, **record: Any) -> Any:
        self.sent.append((topic, record))

        async def acknowledged() -> None: ...

        return acknowledged()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> RecordingProducer:
    made = RecordingProducer()
    monkeypatch.setattr(dead_letters, "AIOKafkaProducer", lambda **_: made)
    return made


def refusal(record: FakeRecord) -> Refused:
    with pytest.raises(InvalidEvent) as caught:
        decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
    return Refused(record, caught.value)


async def letter_of(producer: RecordingProducer, refused: Refused) -> dict[str, Any]:
    outputs = SideOutputs("nowhere:1", dead_letter_topic="i.dlq", interactions_topic="i")
    await outputs.send([refused], [], partition=3, now_ms=77)
    ((topic, letter),) = producer.sent
    assert topic == "i.dlq"
    return letter


async def test_key_value_and_headers_are_unchanged_and_the_errors_are_text_behind_them(
    producer: RecordingProducer,
) -> None:
    own: Sequence[tuple[str, bytes | None]] = [("a", b"\xff\x00"), ("b", None), ("a", b"again")]
    letter = await letter_of(producer, refusal(FakeRecord(41, b"\xff{", key=b"\x00k", headers=own)))
    assert (letter["key"], letter["value"]) == (b"\x00k", b"\xff{")
    assert letter["headers"][:3] == own
    errors = {name: value.decode() for name, value in letter["headers"][3:]}
    assert errors.pop("__streams.errors.exception").startswith("recsys.errors.InvalidEvent: not_json: expected a JSON")
    assert errors.pop("__streams.errors.message").startswith("expected a JSON object, received")
    assert "recsys/events.py" in errors.pop("__streams.errors.stacktrace")
    assert errors == {
        "__streams.errors.topic": "i",
        "__streams.errors.partition": "3",
        "__streams.errors.offset": "41",
        "dlq.reason": "not_json",
        "dlq.stage": "decode",
        "dlq.failed_at": "77",
        "dlq.replay_count": "0",
    }


async def test_what_the_fold_fails_on_carries_the_stack_of_its_failure(producer: RecordingProducer) -> None:
    error = InvalidEvent(RefusalReason.FOLD_FAILED, "ZeroDivisionError()")
    try:
        _ = 1 / 0
    except ZeroDivisionError as cause:
        error.__cause__ = cause
    letter = await letter_of(producer, Refused(FakeRecord(1, b"{}"), error))
    errors = dict(letter["headers"])
    assert errors["dlq.stage"] == b"fold"
    assert b"_ = 1 / 0" in errors["__streams.errors.stacktrace"]
    assert errors["__streams.errors.stacktrace"].endswith(b"ZeroDivisionError: division by zero\n")


async def test_the_replay_count_of_a_record_that_is_refused_again_is_kept_and_said_once(
    producer: RecordingProducer,
) -> None:
    record = FakeRecord(1, b"junk", headers=[("x", b"1"), ("dlq.replay_count", b"2")])
    headers = (await letter_of(producer, refusal(record)))["headers"]
    assert [value for name, value in headers if name == "dlq.replay_count"] == [b"2"]


@pytest.mark.parametrize("said", [b"", None, b"-1", b"two", b"\xff", b"9" * 400, "²".encode()])
def test_a_replay_count_that_is_no_number_is_none(said: bytes | None) -> None:
    assert replay_count(FakeRecord(0, b"", headers=[("dlq.replay_count", said)])) == b"0"


@pytest.mark.parametrize(
    ("record", "omitted"),
    [
        (FakeRecord(1, b"x" * (MAX_PRODUCED_BYTES - 5_000), headers=[("a", b"1")]), None),
        (FakeRecord(1, b"x" * 2_000_000, headers=[("a", b"1")]), b"value"),
        (FakeRecord(1, b"x" * 900_000, headers=[("a", b"1" * 900_000)]), b"value"),
        (FakeRecord(1, b"x", headers=[("a", b"1" * 2_000_000)]), b"headers"),
        (
            FakeRecord(1, b"x" * 2_000_000, key=b"k" * 2_000_000, headers=[("a", b"1" * 2_000_000)]),
            b"key,headers,value",
        ),
    ],
)
async def test_a_record_too_large_for_the_topic_leaves_what_does_not_fit_where_it_was(
    producer: RecordingProducer, record: FakeRecord, omitted: bytes | None
) -> None:
    letter = await letter_of(producer, refusal(record))
    assert dict(letter["headers"]).get("dlq.omitted") == omitted
    assert dict(letter["headers"])["__streams.errors.offset"] == b"1"
    size = len(letter["key"] or b"") + len(letter["value"] or b"")
    size += sum(len(name) + len(value) for name, value in letter["headers"])
    assert size < MAX_PRODUCED_BYTES + 100
