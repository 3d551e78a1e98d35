"""Learners at the API that a benchmark measures: what they ask for and what they view."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from recsys.process.clock import now_ms

CACHED_WITHIN_S = 60.0
MINUTE_MS = 60_000


class Site:
    """Learners at the API.

    Args:
        client: Of the API.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client, self._views = client, 0

    def ask(self, user: str, *, n: int = 20) -> dict[str, Any]:
        """The answer for a learner."""
        response = self._client.get(f"/v1/users/{user}/recommendations", params={"n": n}).raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def courses(self, user: str) -> list[str]:
        """Those of a learner's answer."""
        return courses_of(self.ask(user))

    def view(self, user: str, course_id: str, *, minutes_ago: int = 0) -> None:
        """An event of a learner."""
        self._views += 1
        event = {"event_id": f"view-{self._views}", "user_id": user, "course_id": course_id, "type": "view"}
        at_ms = now_ms() - minutes_ago * MINUTE_MS
        self._client.post("/v1/events", json=event | {"timestamp": at_ms}).raise_for_status()

    def until_cached(self, user: str) -> None:
        """Returns when the learner's answers come from a list that a worker wrote."""
        deadline = time.monotonic() + CACHED_WITHIN_S
        while self.ask(user)["source"] != "cached":
            if time.monotonic() > deadline:
                raise SystemExit(f"expected a cached list of {user} within {CACHED_WITHIN_S:g} s")
            time.sleep(0.1)


def courses_of(answer: Mapping[str, Any]) -> list[str]:
    return [each["course_id"] for each in answer["recommendations"]]
