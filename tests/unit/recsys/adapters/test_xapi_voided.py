"""The indexes of statements that passed: the same rules in memory and on disk, each bounded."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from recsys.adapters.xapi_voided import FileIndex, Pending, ProcessIndex, StatementIndex, taken_back
from recsys.errors import InputError
from recsys.events import EVENT_TYPES, Interaction
from recsys.vocabulary import REGISTERS, VOCABULARY, Kind

ENROLLED = Interaction("s-1", "7", "DemoX+C1", "enroll", 1_700_000_000_000, run_id="r", tenant="DemoX", source="xapi")


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], StatementIndex]]:
    """Makes an index of a capacity."""
    opened: list[FileIndex] = []

    def index(capacity: int) -> StatementIndex:
        if request.param == "memory":
            return ProcessIndex(capacity)
        opened.append(FileIndex(tmp_path / "index.sqlite3", capacity))
        return opened[-1]

    yield index
    for file in opened:
        file.close()


def test_a_state_is_found_by_its_statement_and_the_last_one_told_counts(
    make: Callable[[int], StatementIndex],
) -> None:
    index = make(10)
    assert index.find("s-1") is None
    index.remember("s-1", ENROLLED)
    assert index.find("s-1") == ENROLLED
    later = msgspec.structs.replace(ENROLLED, timestamp=1_700_000_000_001)
    index.remember("s-1", later)
    assert index.find("s-1") == later


@pytest.mark.parametrize("kind", ["view", "click", "play", "progress"])
def test_what_has_no_opposite_takes_no_place(make: Callable[[int], StatementIndex], kind: str) -> None:
    index = make(10)
    index.remember("s-1", msgspec.structs.replace(ENROLLED, type=kind))
    assert index.find("s-1") is None


def test_the_oldest_go_first_in_memory() -> None:
    index = ProcessIndex(3)
    for number in (1, 2, 3, 1, 4):
        index.remember(f"s-{number}", ENROLLED)
    assert [index.find(f"s-{number}") is not None for number in (1, 2, 3, 4)] == [True, False, True, True]
    assert len(index) == 3


def test_the_oldest_go_first_on_disk_and_the_rest_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "index.sqlite3"
    with FileIndex(path, 3) as index:
        for number in (1, 2, 3, 1, 4):
            index.remember(f"s-{number}", ENROLLED)
    with FileIndex(path, 3) as again:
        assert len(again) <= 3
        assert [again.find(f"s-{number}") is not None for number in (1, 2, 4)] == [True, False, True]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_index_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    path.write_bytes(b"no database, but long enough to be looked at" * 50)
    with pytest.raises(InputError, match="--index"):
        FileIndex(path)
    with pytest.raises(InputError, match="--index"):
        FileIndex(tmp_path)


def test_what_was_not_accepted_is_never_found_behind() -> None:
    behind = ProcessIndex()
    pending = Pending(behind)
    pending.remember("s-1", ENROLLED)
    assert pending.find("s-1") == ENROLLED
    assert behind.find("s-1") is None
    pending.pass_on()
    assert behind.find("s-1") == ENROLLED
    assert Pending(behind).find("s-1") == ENROLLED


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_type_is_taken_back_by_its_opposite_or_not_at_all(kind: str) -> None:
    event = msgspec.structs.replace(ENROLLED, type=kind, value=4.0)
    back = taken_back(event)
    row = VOCABULARY[kind]
    if kind in REGISTERS:
        assert back is not None
        opposite = VOCABULARY[back.type]
        assert (opposite.kind, opposite.state, back.timestamp) == (Kind.OPPOSITE, row.state, event.timestamp)
        assert (back.user_id, back.course_id, back.value) == ("7", "DemoX+C1", None)
    elif row.kind is Kind.OPPOSITE and kind != "unrate":
        assert back is not None
        assert (back.type, back.timestamp) == (row.state, event.timestamp + 1)
    else:
        assert back is None
    assert back is None or back.event_id != event.event_id
