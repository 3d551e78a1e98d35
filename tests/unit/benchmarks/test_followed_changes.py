"""What answers follow: on the system of `bench-click`, from arguments of its own; its clocks stop where they should."""

from __future__ import annotations

import inspect
import re
from typing import Any

import httpx
import pytest

from benchmarks import click_to_answer, followed_changes
from benchmarks.followed_changes import Site, until_gone


def test_all_that_the_system_reads_of_its_arguments_is_there() -> None:
    read = set(re.findall(r"arguments\.(\w+)", inspect.getsource(click_to_answer.everything)))
    source = inspect.getsource(followed_changes)
    options = {name.replace("-", "_") for name in re.findall(r'add_argument\("--([\w-]+)"', source)}
    assert len(read) > 3
    assert read <= options


def test_the_clock_of_a_retired_course_stops_at_the_last_answer_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without it is not the end: another may still come from a cache."""
    monkeypatch.setattr(followed_changes, "QUIET_S", 0.05)
    retired, answers = list[str](), list[bool]()

    def answer(_request: httpx.Request) -> httpx.Response:
        shown = ["b"]
        if not retired or len(answers) in {0, 3}:
            shown = ["a", "b"] if not retired else ["b", *retired]
        if retired:
            answers.append(retired[0] in shown)
        body: dict[str, Any] = {"recommendations": [{"course_id": each} for each in shown]}
        return httpx.Response(200, json=body)

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://api") as client:
        took = until_gone(Site(client), lambda course_id, _: retired.append(course_id), ["ada", "bob"])
    assert answers[:5] == [True, False, False, True, False]
    assert not any(answers[4:])
    assert 0 < took < 5
