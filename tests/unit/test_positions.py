"""What is known of a fetch: never more than is certain, whoever moved the position."""

from __future__ import annotations

import types
from typing import Any

from faust.types.tuples import TP

from stream.positions import Fetch, ReadPositions

PARTITION, OTHER = TP("t", 0), TP("t", 1)


def records(*offsets: int) -> dict[TP, list[Any]]:
    return {PARTITION: [types.SimpleNamespace(offset=offset) for offset in offsets]}


def test_a_fetch_looks_from_behind_the_one_before() -> None:
    positions = ReadPositions()
    assert positions.returned(records(3, 4)) == {PARTITION: Fetch(0, None)}
    assert positions.returned(records(7, 9)) == {PARTITION: Fetch(0, 5)}
    assert positions.looked_until(PARTITION) == 10
    assert positions.returned({}) == {}
    assert positions.looked_until(OTHER) is None


def test_a_seek_is_where_the_next_fetch_looks_from() -> None:
    positions = ReadPositions()
    positions.returned(records(9))
    positions.sought(PARTITION, 2)
    assert positions.returned(records(5)) == {PARTITION: Fetch(1, 2)}
    assert (positions.epoch(PARTITION), positions.epoch(OTHER), positions.owned_since(PARTITION)) == (1, 0, 0)


def test_from_a_revocation_until_faust_sought_the_committed_offset_nothing_is_known() -> None:
    positions = ReadPositions()
    positions.returned(records(9))
    positions.revoked({PARTITION})
    assert positions.owned_since(PARTITION) == 1
    for _ in range(2):  # a fetch under way, and one of a new assignment before Faust's seek
        assert positions.returned(records(20)) == {PARTITION: Fetch(1, None)}
    positions.sought(PARTITION, 4)  # Faust moves it somewhere else after this
    assert positions.looked_until(PARTITION) is None
    positions.lost({PARTITION})
    positions.found({PARTITION})
    assert positions.returned(records(30)) == {PARTITION: Fetch(3, None)}
    assert positions.returned(records(40)) == {PARTITION: Fetch(3, 31)}


def test_while_faust_seeks_nothing_is_known() -> None:
    positions = ReadPositions()
    positions.returned(records(9))
    positions.lost({PARTITION})
    assert positions.returned(records(50)) == {PARTITION: Fetch(0, None)}
    positions.found({PARTITION})
    assert positions.looked_until(PARTITION) is None
