"""What answers follow: on the system of `bench-click`, from arguments of its own; its clocks stop where they should."""

from __future__ import annotations

import inspect
import re
import time
from typing import Any

import httpx
import pytest

from benchmarks import click_to_answer, followed_changes
from benchmarks.followed_changes import until_gone, until_listed
from benchmarks.site import Site
from recsys.catalog import Course


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


def test_the_clocks_of_a_new_course_stop_at_the_first_answer_and_at_a_workers_list() -> None:
    """An answer that the API ranked itself is not a list that a worker wrote."""
    answers = [("cached", ["a"]), ("model", ["a", "new-3"]), ("model", ["new-3"]), ("cached", ["new-3"])]
    given, seen, published = list[float](), list[bytes](), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            seen.append(request.content)
            return httpx.Response(202)
        source, shown = answers[len(given)]
        given.append(time.perf_counter())
        return httpx.Response(200, json={"source": source, "recommendations": [{"course_id": each} for each in shown]})

    began = time.perf_counter()
    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://api") as client:
        alike = Course(course_id="a", title="A", category="c")
        answered, listed = until_listed(Site(client), lambda course_id, _: published.append(course_id), 3, alike)
    assert published == ["new-3"]
    assert len(given) == 4
    assert given[0] - began < answered < given[2] - began
    assert given[2] - began < listed < time.perf_counter() - began
    assert b"new-3" in seen[-1]
