"""From a request body of xAPI statements to events: all of them, or none and the reason for each refusal. Pure.

The index of statements that passed is given; what a request adds to it is passed on only once Kafka has the events.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from uuid import uuid5

import msgspec

from recsys.adapters import Mapped, Refused, Skipped
from recsys.adapters.completions import Completions
from recsys.adapters.ids import NAMESPACE
from recsys.adapters.xapi import XapiAdapter, statements_in
from recsys.adapters.xapi_fields import XapiRules
from recsys.adapters.xapi_types import VERBS
from recsys.adapters.xapi_voided import Pending, StatementIndex
from recsys.errors import RefusalReason
from recsys.events import Interaction
from serving.errors import RefusedEvent, StatementsRefused, TooLarge
from serving.events.incoming import MAX_EVENTS

OTHER_VERB = "(other)"
_JSON_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements of one request.

    Attributes:
        ids: Id of each, in order; of a statement without one, an id made of its bytes.
        events: What is sent to Kafka.
        skipped: Verb (of those known, else `OTHER_VERB`) → statements that say nothing about a preference.
        index: What was remembered, to be passed on once the events are acknowledged.
    """

    ids: list[str]
    events: list[Interaction]
    skipped: Counter[str]
    index: Pending


def read_statements(body: bytes, *, arrival_ms: int, index: StatementIndex, rules: XapiRules) -> Statements:
    """Maps one statement, or a list of up to `MAX_EVENTS`.

    Args:
        body: A JSON object or a JSON array of objects, UTF-8.
        arrival_ms: When the request arrived, ms since 1970 UTC; the time of a statement that has none.
        index: The statements that passed before.
        rules: How statements are read; of completed parts, the first of a day in the request counts.

    Raises:
        StatementsRefused: With every refused statement.
        TooLarge: There are more than `MAX_EVENTS`.
    """
    content = body.strip(_JSON_SPACE)
    parts = statements_in(content) if content.startswith(b"[") else None
    if parts is None:
        parts = [content]
    if len(parts) > MAX_EVENTS:
        raise TooLarge(f"expected at most {MAX_EVENTS} statements in a request, received {len(parts)}")
    pending = Pending(index)
    rules = replace(rules, completions=Completions({}))  # of one request: nothing of a learner stays in this process
    adapter = XapiAdapter(pending, now_ms=lambda: arrival_ms, rules=rules, received_ms=arrival_ms)
    outcomes = [adapter(part) for part in parts]
    refused = [
        RefusedEvent(place, outcome.reason, outcome.example)
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, Refused)
    ]
    if refused:
        raise StatementsRefused(refused, len(parts))
    return Statements(
        [_id(part) for part in parts],
        [outcome.event for outcome in outcomes if isinstance(outcome, Mapped)],
        Counter(_verb(outcome.name) for outcome in outcomes if isinstance(outcome, Skipped)),
        pending,
    )


def identified(body: bytes, statement_id: str) -> bytes:
    """The one statement of a PUT, with the id that the address gives it.

    Raises:
        StatementsRefused: It has another id, or none is given.
    """
    try:
        statement = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        statement = None
    if not isinstance(statement, dict):
        raise StatementsRefused([RefusedEvent(0, RefusalReason.SCHEMA, "expected one statement, a JSON object")], 1)
    if not statement_id or statement.setdefault("id", statement_id) != statement_id:
        detail = "expected the parameter statementId, and the same id in the statement or none"
        raise StatementsRefused([RefusedEvent(0, RefusalReason.BAD_ID, detail)], 1)
    return msgspec.json.encode(statement)


class _Identified(msgspec.Struct):
    id: str | None = None


_decoder = msgspec.json.Decoder(_Identified)


def _id(statement: bytes) -> str:
    try:
        own = _decoder.decode(statement).id
    except msgspec.DecodeError:
        own = None
    return own or str(uuid5(NAMESPACE, statement.decode("utf-8", "replace")))


def _verb(name: str) -> str:
    """A label of bounded number: a client may send any verb."""
    return name if name in VERBS else OTHER_VERB
