"""A learner at the API's door: asks, clicks, and asks until the answer has changed. Knows HTTP and nothing else."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from recsys.errors import ServiceUnavailable
from recsys.process.clock import now_ms

_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.001
_SETTLED_SECONDS = 0.5
_IDLE_SECONDS = 2.0
"""Below the 5 s after which the API closes a connection that nobody uses."""

_ACCEPTED = 202
_EVENTS_OF_A_REQUEST = 100
_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer for a learner.

    Attributes:
        course_ids: Best first.
        titles: Aligned with `course_ids`.
        model: Version of the bundle that ranked them; None for trending.
        source: The rung of the ladder that answered.
    """

    course_ids: tuple[str, ...]
    titles: tuple[str, ...]
    model: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Click:
    """A click of somebody.

    Attributes:
        user_id: Who.
        course_id: On what.
        at_ms: When, ms since 1970 UTC.
    """

    user_id: str
    course_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a few clicks did.

    Attributes:
        before: The answer before them.
        after: The answer once it stood still.
        event_to_answer_ms: From sending the clicks to the first answer that differed, in milliseconds.
    """

    before: Answer
    after: Answer
    event_to_answer_ms: float


class LiveLearner:
    """One learner with a connection of their own.

    Args:
        url: The API, http://host:port.
        user_id: Who.
        n: Courses asked for.
    """

    def __init__(self, url: str, user_id: str, n: int = 10) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_SECONDS
        )
        self._path = f"/v1/users/{quote(user_id, safe='')}/recommendations?n={n}"
        self.user_id = user_id
        self._used_at = time.monotonic()

    def ask(self) -> Answer:
        """The learner's list at this moment.

        Raises:
            ServiceUnavailable: The API does not answer, or not with a list.
        """
        body = self._request("GET", self._path, None, _OK)
        courses = body["recommendations"]
        return Answer(
            course_ids=tuple(course["course_id"] for course in courses),
            titles=tuple(course["title"] for course in courses),
            model=body["model_version"],
            source=body["source"],
        )

    def act(self, course_ids: Iterable[str], kind: str = "click") -> None:
        """Sends one event for each course, in one request.

        Raises:
            ServiceUnavailable: The API did not accept them.
        """
        at_ms = now_ms()
        self._post((Click(self.user_id, course_id, at_ms) for course_id in course_ids), kind)

    def with_others(self, clicks: Sequence[Click]) -> None:
        """Sends the clicks of others over the same connection.

        Raises:
            ServiceUnavailable: The API did not accept them.
        """
        for start in range(0, len(clicks), _EVENTS_OF_A_REQUEST):
            self._post(clicks[start : start + _EVENTS_OF_A_REQUEST], "click")

    def click_and_watch(self, course_ids: Sequence[str], *, seconds: float = 30.0) -> Change:
        """Clicks, and asks until the answer differs.

        Raises:
            ServiceUnavailable: The answer did not change in time.
        """
        before = self.ask()
        start = time.perf_counter()
        self.act(course_ids)
        while (answer := self.ask()).course_ids == before.course_ids:
            if time.perf_counter() - start > seconds:
                raise ServiceUnavailable(f"the answer had not changed {seconds:g} s after the clicks")
            time.sleep(_POLL_SECONDS)
        event_to_answer_ms = (time.perf_counter() - start) * 1000
        return Change(before, self.settled(answer), event_to_answer_ms)

    def settled(self, answer: Answer | None = None) -> Answer:
        """The answer once it has not changed for a while: events may be applied in more than one step.

        Args:
            answer: The latest; None asks.

        Raises:
            ServiceUnavailable: The API does not answer.
        """
        answer, since = answer or self.ask(), time.perf_counter()
        while time.perf_counter() - since < _SETTLED_SECONDS:
            time.sleep(_SETTLED_SECONDS / 10)
            newest = self.ask()
            if newest.course_ids != answer.course_ids:
                answer, since = newest, time.perf_counter()
        return answer

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _post(self, clicks: Iterable[Click], kind: str) -> None:
        events = [
            {
                "event_id": uuid.uuid4().hex,
                "user_id": each.user_id,
                "course_id": each.course_id,
                "type": kind,
                "timestamp": each.at_ms,
            }
            for each in clicks
        ]
        self._request("POST", "/v1/events", json.dumps(events), _ACCEPTED)

    def _request(self, method: str, path: str, body: str | None, expected: int) -> Any:
        headers = {"Content-Type": "application/json"} if body else {}
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()  # the API may be about to; the next request opens it again
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            text = response.read().decode()
            self._used_at = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ServiceUnavailable(f"the API does not answer: {error!r}") from error
        if response.status != expected:
            raise ServiceUnavailable(
                f"{method} {path} was answered with status {response.status} instead of {expected}: {text}"
            )
        return json.loads(text)
