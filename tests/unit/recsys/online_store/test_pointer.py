"""Which lists an increment has served beside its own, and whose turn it is to be ranked anew."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from recsys.online_store import Line, ModelPointer

RETRAIN = ModelPointer("r", "/r", 1)


def increments(count: int, most: int) -> list[ModelPointer]:
    """A retrain and its increments, v1, v2, …"""
    published = [RETRAIN]
    for number in range(1, count + 1):
        published.append(ModelPointer(f"v{number}", "/v", number + 1, published[-1].line_after(most)))
    return published


def test_an_increment_serves_the_latest_versions_of_its_line_back_to_the_retrain() -> None:
    lines = [each.line and each.line.versions for each in increments(4, 2)]
    assert lines == [None, ("r",), ("v1", "r"), ("v2", "v1"), ("v3", "v2")]
    last = increments(4, 2)[-1]
    assert [last.serves(version) for version in ("v4", "v3", "v2", "v1", "r", "other")] == [True] * 3 + [False] * 3


def test_any_other_publication_serves_its_own_lists_alone_and_begins_a_line() -> None:
    taken_back = ModelPointer("v1", "/v", 9)  # a rollback from v2
    assert [taken_back.serves(version) for version in ("v1", "v2", "r")] == [True, False, False]
    assert taken_back.line_after(2) == Line(("v1",), 1, 2)


def test_where_no_list_may_be_behind_there_is_no_line() -> None:
    assert RETRAIN.line_after(0) is None


@given(st.text(max_size=9), st.integers(1, 9), st.integers(0, 20))
def test_a_list_is_due_before_it_is_not_served_any_more(user: str, most: int, ranked_with: int) -> None:
    published = increments(ranked_with + most + 1, most)
    version, later = published[ranked_with].version, published[ranked_with + 1 :]
    due = [each for each in later if each.line is not None and each.line.is_due(user, version)]
    assert due
    assert all(each.serves(version) for each in due)
    assert not later[-1].serves(version)


@given(st.text(max_size=9), st.integers(1, 9))
def test_one_increment_in_so_many_is_a_learners_turn(user: str, most: int) -> None:
    turns = [n for n, each in enumerate(increments(40, most)) if each.line is not None and each.line.in_turn(user)]
    assert {later - sooner for sooner, later in pairwise(turns)} == {most}


def test_turns_are_spread_over_the_learners() -> None:
    line = increments(30, 10)[-1].line
    assert line is not None
    assert 850 < sum(line.in_turn(f"u{n}") for n in range(10_000)) < 1150
