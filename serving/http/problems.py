"""What the API answers instead of a result: one JSON form, never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from recsys.errors import ConfigurationError, RecsysError, ServiceUnavailable

UNAVAILABLE = 503


class RefusedEvent(msgspec.Struct, frozen=True):
    """Why one event of a request was refused.

    Attributes:
        index: Its position in the request, from 0.
        reason: One of the closed list of `recsys.errors.RefusalReason`.
        detail: What was expected, then what was received.
    """

    index: int
    reason: str
    detail: str


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is no success.

    Attributes:
        error: A word a program can switch on.
        detail: What was expected, then what was received.
        refused: The refused events of a `POST /v1/events`.
    """

    error: str
    detail: str
    refused: list[RefusedEvent] | None = None


class Problem(RecsysError):
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
        self.exit_status = (ServiceUnavailable if status == UNAVAILABLE else ConfigurationError).exit_status


def invalid(detail: str) -> Problem:
    """422: a path or query parameter that cannot be."""
    return Problem(422, ProblemBody("invalid_parameter", detail))


def refused(events: Sequence[RefusedEvent], total: int) -> Problem:
    """422: at least one event of the request is refused, so none was accepted."""
    detail = f"expected valid events, received {len(events)} refused of {total}; none was accepted"
    return Problem(422, ProblemBody("refused_events", detail, list(events)))


def unavailable(detail: str, retry_after_s: int = 1) -> Problem:
    """503: nothing can answer now; the client may try again in `retry_after_s` seconds."""
    return Problem(UNAVAILABLE, ProblemBody("unavailable", detail), {"Retry-After": str(retry_after_s)})
