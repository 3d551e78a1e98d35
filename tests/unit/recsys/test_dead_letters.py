"""The dead-letter format: what is written is read back, the record is unchanged, and it fits a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.dead_letters import (
    ADDED_HEADERS,
    OMITTED,
    REPLAY_COUNT,
    DeadLetter,
    Message,
    encode,
    replay_count,
    replayed,
)
from recsys.dead_letters import decode as read_letter
from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import decode
from recsys.kafka.records import MAX_PRODUCED_BYTES

APPENDED_MS = 1_700_000_000_000
JUNK = InvalidEvent(RefusalReason.NOT_JSON, "expected a JSON object, received junk")


@dataclass(frozen=True, slots=True)
class FakeRecord:
    offset: int
    value: bytes | None
    key: bytes | None = b"u"
    timestamp: int = APPENDED_MS
    headers: Sequence[tuple[str, bytes | None]] = ()


def refused(record: FakeRecord, error: InvalidEvent = JUNK) -> Message:
    return encode(record, error, topic="i", partition=3, now_ms=77)


def stored(message: Message, offset: int = 9) -> DeadLetter:
    """The letter as a reader of the dead-letter topic finds it, in partition 5."""
    record = FakeRecord(offset, message.value, message.key, headers=message.headers)
    return read_letter(record, 5)


names = st.one_of(st.sampled_from(ADDED_HEADERS), st.sampled_from(["ce_id", "dlq.mine", "__streams.errors.mine", ""]))
own_headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=20)), max_size=14)


@given(
    key=st.none() | st.binary(max_size=30),
    value=st.none() | st.binary(max_size=50),
    headers=own_headers,
    reason=st.sampled_from(RefusalReason),
    detail=st.text(max_size=40),
)
def test_what_is_written_is_read_back_whatever_headers_the_record_came_with(
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    reason: RefusalReason,
    detail: str,
) -> None:
    """Also where the record has headers of our names: they are its own, and say nothing about the letter."""
    record = FakeRecord(41, value, key, headers=headers)
    letter = stored(refused(record, InvalidEvent(reason, detail)))

    assert (letter.partition, letter.offset, letter.appended_ms) == (5, 9, APPENDED_MS)
    assert (letter.key, letter.value) == (key, value)
    assert letter.headers == tuple(header for header in headers if header[0] != REPLAY_COUNT)
    assert (letter.reason, letter.incomplete) == (reason, False)
    assert letter.errors["__streams.errors.message"] == detail.encode("utf-8", "replace").decode()
    assert letter.replay_count == replay_count(headers)


@given(headers=own_headers, times=st.integers(1, 4))
def test_the_replay_count_grows_by_one_with_each_round_and_nothing_else_changes(
    headers: list[tuple[str, bytes | None]], times: int
) -> None:
    own = [header for header in headers if header[0] != REPLAY_COUNT]
    message = Message(b"k", b"junk", own)
    for count in range(times):
        letter = stored(refused(FakeRecord(count, message.value, message.key, headers=message.headers)))
        assert letter.replay_count == count
        message = replayed(letter)
    assert message == Message(b"k", b"junk", (*own, (REPLAY_COUNT, b"%d" % times)))


def test_key_value_and_headers_are_unchanged_and_the_errors_are_text_behind_them() -> None:
    own: Sequence[tuple[str, bytes | None]] = [("a", b"\xff\x00"), ("b", None), ("a", b"again")]
    record = FakeRecord(41, b"\xff{", key=b"\x00k", headers=own)
    with pytest.raises(InvalidEvent) as caught:
        decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
    message = refused(record, caught.value)
    assert (message.key, message.value) == (b"\x00k", b"\xff{")
    assert message.headers[:3] == own
    errors = {name: value.decode() for name, value in message.headers[3:] if value is not None}
    assert tuple(errors) == tuple(name for name in ADDED_HEADERS if name != OMITTED)
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


def test_what_the_fold_fails_on_carries_the_stack_of_its_failure() -> None:
    error = InvalidEvent(RefusalReason.FOLD_FAILED, "ZeroDivisionError()")
    try:
        _ = 1 / 0
    except ZeroDivisionError as cause:
        error.__cause__ = cause
    errors = stored(refused(FakeRecord(1, b"{}"), error)).errors
    assert errors["dlq.stage"] == "fold"
    assert "_ = 1 / 0" in errors["__streams.errors.stacktrace"]
    assert errors["__streams.errors.stacktrace"].endswith("ZeroDivisionError: division by zero\n")


def test_the_replay_count_of_a_record_that_is_refused_again_is_kept_and_said_once() -> None:
    record = FakeRecord(1, b"junk", headers=[("x", b"1"), ("dlq.replay_count", b"2")])
    assert [value for name, value in refused(record).headers if name == "dlq.replay_count"] == [b"2"]


@pytest.mark.parametrize("said", [b"", None, b"-1", b"two", b"\xff", b"9" * 400, "²".encode()])
def test_a_replay_count_that_is_no_number_is_none(said: bytes | None) -> None:
    assert replay_count([("dlq.replay_count", said)]) == 0
    assert stored(refused(FakeRecord(0, b"", headers=[("dlq.replay_count", said)]))).replay_count == 0


def test_of_a_repeated_replay_count_the_last_holds_for_writer_and_reader_alike() -> None:
    """A replay adds its own behind what the record came with: the first would be zero for ever."""
    came = FakeRecord(0, b"junk", headers=[("dlq.replay_count", b"0"), ("a", b"1"), ("dlq.replay_count", b"2")])
    assert stored(refused(came)).replay_count == 2


def test_a_header_of_the_record_does_not_make_its_letter_incomplete() -> None:
    """Before, one `dlq.omitted` from a producer kept `recsys dlq replay` from ever sending the record again."""
    letter = stored(refused(FakeRecord(0, b"junk", headers=[("dlq.omitted", b"value")])))
    assert not letter.incomplete
    assert replayed(letter).headers == (("dlq.omitted", b"value"), ("dlq.replay_count", b"1"))


def test_a_record_that_somebody_else_wrote_is_a_letter_too() -> None:
    letter = read_letter(FakeRecord(0, None, None, headers=[("dlq.replay_count", b"\xffx")]), 0)
    assert (letter.reason, letter.replay_count, letter.headers) == ("", 0, ())
    letter = read_letter(FakeRecord(0, b"v", headers=[("ce_id", b"e1"), ("dlq.reason", b"empty")]), 0)
    assert (letter.reason, letter.headers) == ("empty", (("ce_id", b"e1"),))


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
def test_a_record_too_large_for_the_topic_leaves_what_does_not_fit_where_it_was(
    record: FakeRecord, omitted: bytes | None
) -> None:
    letter = refused(record)
    assert dict(letter.headers).get("dlq.omitted") == omitted
    assert stored(letter).incomplete == (omitted is not None)
    assert dict(letter.headers)["__streams.errors.offset"] == b"1"
    size = len(letter.key or b"") + len(letter.value or b"")
    size += sum(len(name) + len(value or b"") for name, value in letter.headers)
    assert size < MAX_PRODUCED_BYTES + 100
