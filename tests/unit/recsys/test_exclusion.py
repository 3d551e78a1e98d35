"""What an answer leaves out."""

from __future__ import annotations

import pytest

from recsys.events import DONE_TYPES, EVENT_TYPES
from recsys.exclusion import Exclusion
from recsys.settings import load_settings


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_types_that_end_a_course_end_it_whatever_their_value(kind: str) -> None:
    assert Exclusion().ends(kind, None) == (kind in DONE_TYPES)


@pytest.mark.parametrize(("value", "ends"), [(None, False), (0.0, False), (0.899, False), (0.9, True), (1.0, True)])
def test_progress_ends_a_course_from_the_threshold_on(value: float | None, ends: bool) -> None:
    assert Exclusion().ends("progress", value) == ends


def test_a_rating_above_the_threshold_is_no_completion() -> None:
    assert not Exclusion().ends("rate", 5.0)


def test_done_courses_are_left_out_always_and_seen_ones_by_the_setting() -> None:
    done, seen = frozenset({"a"}), {"b": 1.0, "a": 2.0}
    assert Exclusion(exclude_seen=True).excluded(done, seen) == {"a", "b"}
    assert Exclusion(exclude_seen=False).excluded(done, seen) == {"a"}


def test_the_policy_says_itself_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DONE_PROGRESS", "0.75")
    monkeypatch.setenv("RECSYS_EXCLUDE_SEEN", "false")
    said = str(load_settings().exclusion)
    assert "75%" in said
    assert "may be shown again" in said
