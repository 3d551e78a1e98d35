"""From a request body to validated events: all of them, or none and the reason for each refusal. Pure."""

from __future__ import annotations

import msgspec

from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import Interaction, decode
from recsys.nesting import MAX_DEPTH, nests_deeper
from recsys.vocabulary import CONTROL
from serving.errors import EventsRefused, NoEvents, RefusedEvent, TooLarge

MAX_BODY_BYTES = 1_000_000
MAX_EVENTS = 500

_LIST_BEGINS = b"["
_JSON_SPACE = b" \t\r\n"
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def parse_events(body: bytes, *, arrival_ms: int) -> list[Interaction]:
    """Validates one event, or a list of up to `MAX_EVENTS`.

    Args:
        body: A JSON object or a JSON array of objects, UTF-8.
        arrival_ms: When the request arrived, ms since 1970 UTC.

    Raises:
        EventsRefused: With every refused event.
        NoEvents: The array is empty.
        TooLarge: There are more than `MAX_EVENTS`.
    """
    events, refusals = [], []
    parts = _parts(body)
    for index, part in enumerate(parts):
        try:
            events.append(_of_a_course(decode(part, arrival_ms=arrival_ms)))
        except InvalidEvent as error:
            refusals.append(RefusedEvent(index, error.reason, error.detail))
    if refusals:
        raise EventsRefused(refusals, len(parts))
    return events


def _of_a_course(event: Interaction) -> Interaction:
    """The event, unless it erases or merges a learner: whoever may send clicks may not do that for good.

    Raises:
        InvalidEvent: It does.
    """
    if event.type in CONTROL:
        detail = (
            f"expected an event with a course, received {event.type}, which the topic alone takes (docs/serving.md)"
        )
        raise InvalidEvent(RefusalReason.UNKNOWN_TYPE, detail)
    return event


def _parts(body: bytes) -> list[bytes]:
    if not body.lstrip(_JSON_SPACE).startswith(_LIST_BEGINS):
        return [body]
    if nests_deeper(body, MAX_DEPTH + 1):
        detail = f"expected events nested at most {MAX_DEPTH} deep, received deeper"
        raise EventsRefused([RefusedEvent(0, RefusalReason.TOO_DEEP, detail)], 1)
    try:
        parts = [bytes(part) for part in _list_decoder.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"expected a JSON array of events, received {error}"
        raise EventsRefused([RefusedEvent(0, RefusalReason.NOT_JSON, detail)], 1) from None
    if len(parts) > MAX_EVENTS:
        raise TooLarge(f"expected at most {MAX_EVENTS} events in a request, received {len(parts)}")
    if not parts:
        raise NoEvents("expected at least one event, received an empty array")
    return parts
