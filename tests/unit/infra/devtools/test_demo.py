"""The demo's own decisions: who clicks on what, and how the API is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, cast

import pandas as pd
import pytest
from click.testing import CliRunner

from infra.devtools.demo import choose_clicks, command
from infra.devtools.demo_report import CLICKS
from infra.devtools.live_learner import Answer, Click, LiveLearner
from infra.devtools.new_course import come_and_go
from recsys.catalog import Course
from recsys.errors import InputError, ServiceUnavailable

BEFORE = Answer(("a", "b"), ("Title A", "Title B"), "v1", "cached")
AFTER = Answer(("c", "a"), ("Title C", "Title A"), "v1", "cached")


class Api(BaseHTTPRequestHandler):
    """An API whose answer changes at the second question after a click, or never."""

    changes: ClassVar[bool] = True
    posted: ClassVar[list[dict[str, object]]] = []
    asked_since: ClassVar[int] = 0
    requests: ClassVar[int] = 0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.posted:
            type(self).asked_since += 1
        answer = AFTER if self.changes and self.asked_since >= 2 else BEFORE
        courses = [
            {"course_id": each, "title": title, "score": 1.0}
            for each, title in zip(answer.course_ids, answer.titles, strict=True)
        ]
        self._reply(200, {"recommendations": courses, "model_version": answer.model, "source": answer.source})

    def do_POST(self) -> None:
        type(self).requests += 1
        self.posted.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._reply(202, {"accepted": len(self.posted)})

    def _reply(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        del format, args


@pytest.fixture
def api() -> Iterator[str]:
    Api.posted, Api.asked_since, Api.requests, Api.changes = [], 0, 0, True
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def learner(api: str) -> Iterator[LiveLearner]:
    live = LiveLearner(api, "learner 7/x")
    yield live
    live.close()


def test_the_answers_before_and_after_the_clicks_and_the_time_between(learner: LiveLearner) -> None:
    change = learner.click_and_watch(["x", "y"])
    assert (change.before, change.after) == (BEFORE, AFTER)
    assert change.event_to_answer_ms > 0
    assert [(event["user_id"], event["course_id"], event["type"]) for event in Api.posted] == [
        ("learner 7/x", "x", "click"),
        ("learner 7/x", "y", "click"),
    ]
    assert len({event["event_id"] for event in Api.posted}) == 2


def test_the_clicks_of_others_are_sent_in_requests_of_a_bounded_size(learner: LiveLearner) -> None:
    learner.with_others([Click(f"u{number}", "x", number) for number in range(250)])
    assert [(event["user_id"], event["timestamp"]) for event in Api.posted] == [(f"u{i}", i) for i in range(250)]
    assert {event["type"] for event in Api.posted} == {"click"}
    assert Api.requests == 3


def test_an_answer_that_never_changes_is_told(learner: LiveLearner) -> None:
    Api.changes = False
    with pytest.raises(ServiceUnavailable, match=r"answer had not changed 0\.1 s"):
        learner.click_and_watch(["x"], seconds=0.1)


class Listing:
    """A learner whose list has what was published once they acted, and has it no more once it was retired."""

    def __init__(self, *, follows: bool = True, after_acts: int = 1) -> None:
        self._after_acts = after_acts
        self.acts: list[tuple[str, str]] = []
        self.published: dict[str, bytes | None] = {}
        self._follows = follows

    def publish(self, course_id: str, value: bytes | None) -> None:
        self.published[course_id] = value

    def act(self, course_ids: list[str], kind: str) -> None:
        self.acts += [(kind, each) for each in course_ids]

    def ask(self) -> Answer:
        new = [
            each
            for each, value in self.published.items()
            if (value is not None) == self._follows and len(self.acts) >= self._after_acts
        ]
        return Answer(("a", *new, "b"), ("",) * (2 + len(new)), "v1", "cached")


def test_a_new_course_is_waited_for_while_its_learner_acts_and_then_retired() -> None:
    listing = Listing()
    found = come_and_go(cast("Any", listing), listing.publish, Course(course_id="n", title="New"), ["x", "y"])
    assert (found.rank, listing.acts, listing.published) == (2, [("play", "x")], {"n": None})
    assert 0 < found.listed_s < 30


def test_the_learner_acts_for_as_long_as_the_course_is_not_listed() -> None:
    listing = Listing(after_acts=6)
    course = Course(course_id="n", title="New")
    come_and_go(cast("Any", listing), listing.publish, course, ["x", "y"], acts_every_s=0.0)
    once = [("play", "x"), ("play", "y"), ("view", "x"), ("view", "y")]
    assert listing.acts == [*once, *once[:2]]


def test_a_list_that_does_not_follow_the_catalogue_is_told() -> None:
    listing = Listing(follows=False)
    course = Course(course_id="n", title="New")
    with pytest.raises(ServiceUnavailable, match=r"the new course n was on no list 0\.1 s after its record"):
        come_and_go(cast("Any", listing), listing.publish, course, ["x"], seconds=0.1)


def catalogue() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "course_id": [f"{category}{number}" for category in "ab" for number in range(CLICKS + 2)] + ["c0"],
            "category": ["a"] * (CLICKS + 2) + ["b"] * (CLICKS + 2) + ["c"],
            "retired": [False, True] + [False] * (2 * CLICKS + 3),
        }
    )


def test_clicks_go_to_live_courses_of_the_least_touched_category_that_has_enough() -> None:
    touched = pd.DataFrame({"user_id": ["u"] * 4, "course_id": ["a0", "a2", "a3", "b0"]})
    user_id, course_ids = choose_clicks(touched, catalogue())
    assert user_id == "u"
    assert course_ids == [f"b{number}" for number in range(1, CLICKS + 2)]


def test_a_folder_that_is_not_there_is_noticed_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an existing folder"):
        CliRunner().invoke(command, ["--once", "--json", str(tmp_path / "no" / "x.json")], catch_exceptions=False)
