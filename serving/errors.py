"""Why the serving layer cannot answer. Nothing here knows HTTP; `serving.http.problems` gives each its status.

RecsysError
├── InvalidQuery            2   a user id, number or filter that cannot be
├── EventsRefused           2   at least one event of several is not valid, so none was accepted
├── StatementsRefused       2   the same of xAPI statements
├── NoEvents                2   an empty list of events
├── TooLarge                2   more bytes or events than are taken at once
└── ServiceUnavailable
└── NothingToRecommend  3   no cached list, no model and no trending
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from recsys.errors import RecsysError, ServiceUnavailable


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


class InvalidQuery(RecsysError):
    """A user id, number or filter that cannot be."""

    exit_status = 2


class EventsRefused(RecsysError):
    """At least one event of several is not valid, so none was accepted.

    Attributes:
        refused: The refused events.
    """

    exit_status = 2

    def __init__(self, refused: Sequence[RefusedEvent], total: int) -> None:
        super().__init__(f"expected valid events, received {len(refused)} refused of {total}; none was accepted")
        self.refused = list(refused)


class StatementsRefused(RecsysError):
    """At least one xAPI statement of several is not valid, so none was accepted.

    Attributes:
        refused: The refused statements.
    """

    exit_status = 2

    def __init__(self, refused: Sequence[RefusedEvent], total: int) -> None:
        super().__init__(f"expected valid statements, received {len(refused)} refused of {total}; none was accepted")
        self.refused = list(refused)


class NoEvents(RecsysError):
    """An empty list of events."""

    exit_status = 2


class TooLarge(RecsysError):
    """More bytes or events than are taken at once."""

    exit_status = 2


class NothingToRecommend(ServiceUnavailable):
    """There is no cached list, no model and no trending."""
