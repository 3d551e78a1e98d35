"""What an answer leaves out."""

from __future__ import annotations

import pytest

from recsys.exclusion import Exclusion
from recsys.settings import load_settings


def test_done_courses_are_left_out_always_and_seen_ones_by_the_setting() -> None:
    done, seen = {"a": 8}, {"b": 1.0, "a": 2.0}
    assert Exclusion(exclude_seen=True).excluded(done, seen, at_ms=7) == {"a", "b"}
    assert Exclusion(exclude_seen=False).excluded(done, seen, at_ms=7) == {"a"}


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_course_whose_time_has_passed_is_given_back_although_it_was_seen(exclude_seen: bool) -> None:
    assert Exclusion(exclude_seen=exclude_seen).excluded({"a": 8}, {"a": -2.0}, at_ms=8) == set()


def test_the_policy_says_itself_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DONE_PROGRESS", "0.75")
    monkeypatch.setenv("RECSYS_EXCLUDE_SEEN", "false")
    said = str(load_settings().exclusion)
    assert "75%" in said
    assert "may be shown again" in said
