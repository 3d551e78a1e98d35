"""Every answer that is no result has one JSON form, never a stack trace. This module gives each error its status."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from recsys.errors import RecsysError
from serving.errors import (
    EventsRefused,
    InvalidQuery,
    NoEvents,
    NothingToRecommend,
    RefusedEvent,
    StatementsRefused,
    TooLarge,
)


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is no success.

    Attributes:
        error: A word a program can switch on.
        detail: What was expected, then what was received.
        refused: The refused events of a `POST /v1/events`, or statements of a `POST /xapi/statements`.
    """

    error: str
    detail: str
    refused: list[RefusedEvent] | None = None


class Problem(Exception):
    """A request that cannot be answered.

    Attributes:
        status: HTTP status, 4xx or 503.
        body: What the client reads.
        headers: Such as Retry-After (seconds).
    """

    def __init__(self, status: int, body: ProblemBody, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body.detail)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


_PROBLEMS: dict[type[RecsysError], tuple[int, str]] = {
    InvalidQuery: (422, "invalid_parameter"),
    EventsRefused: (422, "refused_events"),
    StatementsRefused: (400, "refused_statements"),  # the status that xAPI asks for
    NoEvents: (422, "no_events"),
    TooLarge: (413, "too_large"),
}
"""The serving layer's errors that a caller can mend, with status and word. Any other error is a bug or an outage."""

MAPPED_ERRORS: tuple[type[RecsysError], ...] = (*_PROBLEMS, NothingToRecommend)


def problem_of(error: RecsysError) -> Problem:
    """The problem that one of `MAPPED_ERRORS` is to a client."""
    if isinstance(error, NothingToRecommend):
        return unavailable(str(error))
    status, word = _PROBLEMS[type(error)]
    refused = error.refused if isinstance(error, EventsRefused | StatementsRefused) else None
    return Problem(status, ProblemBody(word, str(error), refused))


def unavailable(detail: str, retry_after_s: int = 1) -> Problem:
    """503: nothing can answer now; the client may try again in `retry_after_s` seconds."""
    return Problem(503, ProblemBody("unavailable", detail), {"Retry-After": str(retry_after_s)})
