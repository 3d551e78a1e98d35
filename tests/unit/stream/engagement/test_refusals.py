"""The stop rule looks at the latest records, not at all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engagement.refusals import RefusalShare


def test_too_few_records_decide_nothing() -> None:
    share = RefusalShare(100, 0.5)
    assert not share.exceeded_by(99, 99)
    assert share.exceeded_by(100, 100)


@pytest.mark.parametrize(("refused", "exceeded"), [(50, False), (51, True)])
def test_the_limit_is_the_highest_normal_share(refused: int, exceeded: bool) -> None:
    share = RefusalShare(100, 0.5)
    share.add(60, 20)
    assert share.exceeded_by(40, refused - 20) is exceeded


def test_long_good_times_do_not_hide_a_flood() -> None:
    share = RefusalShare(100, 0.5)
    for _ in range(1000):
        share.add(10, 0)
    stopped_after = next(n for n in range(1000) if share.exceeded_by(10, 10) or share.add(10, 10))  # type: ignore[func-returns-value]
    assert stopped_after <= 6


def test_a_share_of_one_never_stops() -> None:
    assert not RefusalShare(10, 1.0).exceeded_by(1000, 1000)


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1)), max_size=60))
def test_what_is_remembered_covers_the_window_and_little_more(chunks: list[tuple[int, float]]) -> None:
    share, passed = RefusalShare(50, 0.5), [(n, int(n * part)) for n, part in chunks]
    for records, refused in passed:
        share.add(records, refused)
    total = sum(records for records, _ in passed)
    assert min(total, 50) <= share._records <= 50 + 30
    assert share._refused == sum(refused for _, refused in passed[len(passed) - len(share._chunks) :])
