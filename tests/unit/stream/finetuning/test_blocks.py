"""Blocks end at fixed offsets, whatever fetches brought their records; a restart repeats the order of before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.finetuning.blocks import Block, BlockId, Blocks, LogRecord, Ready
from stream.finetuning.order import FILE, BlockOrder


def record(offset: int) -> LogRecord:
    return LogRecord(offset, 0, b"u", b"{}", ())


def cut(offsets: Sequence[int], fetches: Sequence[int], size: int = 4) -> list[Block]:
    found, cutter, at = [], Blocks(size, {}), 0
    for length in [*fetches, len(offsets)]:
        found += cutter.add(0, map(record, offsets[at : at + length]))
        at += length
    return found


@given(st.lists(st.integers(0, 60), unique=True).map(sorted), st.lists(st.integers(0, 9)))
def test_bounds_do_not_depend_on_fetches(offsets: list[int], fetches: list[int]) -> None:
    found = cut(offsets, fetches)
    assert found == cut(offsets, [])
    assert all(b.place.start <= r.offset < b.place.stop and b.place.start % 4 == 0 for b in found for r in b.records)


def test_records_fetched_twice_are_taken_once() -> None:
    cutter = Blocks(4, {0: 4})
    assert cutter.add(0, map(record, range(2, 7))) == []
    (block,) = cutter.add(0, map(record, range(3, 9)))
    assert [each.offset for each in block.records] == [4, 5, 6, 7]
    assert cutter.position(0) == 9


def of(partition: int, start: int) -> Block:
    return Block(BlockId(partition, start, start + 4), (record(start),))


def test_blocks_begun_before_a_restart_come_first_and_in_their_order() -> None:
    ready = Ready([of(1, 0).place, of(0, 4).place])
    ready.add([of(0, 4), of(0, 8)])
    assert ready.take() is None
    ready.add([of(1, 0), of(1, 4)])
    assert [ready.take() for _ in range(5)] == [of(1, 0), of(0, 4), of(0, 8), of(1, 4), None]


def test_a_block_that_retention_deleted_is_waited_for_no_longer() -> None:
    ready = Ready([of(0, 4).place])
    ready.add([of(0, 8)])
    assert ready.take() == of(0, 8)


@pytest.mark.parametrize("torn", ["", "0 4", "0 4 "])
def test_the_order_since_a_checkpoint_survives_a_torn_line(tmp_path: Path, torn: str) -> None:
    order = BlockOrder(tmp_path)
    order.begin(3)
    order.append(of(1, 0).place)
    order.append(of(0, 0).place)
    with (tmp_path / FILE).open("a") as file:
        file.write(torn)
    assert order.since(3) == [of(1, 0).place, of(0, 0).place]
    assert order.since(4) == []
