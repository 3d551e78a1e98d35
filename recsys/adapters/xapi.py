"""xAPI statements (1.0.x and 2.0) to interactions: those of Open edX, Moodle's logstore_xapi, cmi5 and others.

The kind of the object decides what a verb means (`xapi_types`): `completed` of a video is a play. A statement that
voids another becomes the opposite of what that one was, if the index still has it (`xapi_voided`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from recsys.adapters.lines import Line
from recsys.adapters.outcomes import Mapped, Outcome, Refused, Skipped, mapped, safe_name
from recsys.adapters.xapi_actor import learner_of
from recsys.adapters.xapi_fields import (
    XapiRules,
    course_of,
    event_id_of,
    meaning_of,
    part_progress,
    session_of,
    time_of,
    value_of,
)
from recsys.adapters.xapi_statement import NoEvent, inner
from recsys.adapters.xapi_types import VOIDED, Thing
from recsys.adapters.xapi_voided import StatementIndex, taken_back
from recsys.errors import RefusalReason
from recsys.nesting import MAX_DEPTH, nests_deeper
from recsys.vocabulary import PROGRESS as PROGRESS_STATE

SOURCE: Final = "xapi"
_VERSION: Final = re.compile(r"(1\.0|2\.0)(\.\d+)?")


class XapiAdapter:
    """`Parse` for statements; remembers those that passed, to take one back when it is voided.

    Args:
        index: The statements that passed.
        now_ms: Gives the latest time an event may have (and 5 minutes more), ms since 1970 UTC.
        rules: How statements are read.
        received_ms: Time of a statement that has none; None: such a statement is refused.
    """

    def __init__(
        self,
        index: StatementIndex,
        *,
        now_ms: Callable[[], int],
        rules: XapiRules | None = None,
        received_ms: int | None = None,
    ) -> None:
        self._index, self._now_ms, self._received_ms = index, now_ms, received_ms
        self._rules = rules or XapiRules()

    def __call__(self, content: bytes) -> Outcome:
        """The outcome of one statement."""
        try:
            statement = _decoded(content)
            verb = _verb(statement)
            outcome = self._void(statement) if verb == VOIDED else self._event(statement, verb)
        except NoEvent as none:
            return none.outcome
        statement_id = statement.get("id")
        if isinstance(outcome, Mapped) and verb != VOIDED and isinstance(statement_id, str):
            self._index.remember(statement_id, outcome.event)
        return outcome

    def _event(self, statement: Mapping[str, Any], verb: str) -> Outcome:
        learner = learner_of(statement, verb, self._rules.home_pages)
        meaning, thing = meaning_of(statement, verb)
        course = course_of(statement, verb, thing)
        if self._rules.staff.has(learner, course.course_id, course.tenant):
            return Skipped(safe_name(verb), "staff")
        at_ms = time_of(statement, verb, self._received_ms)
        kind, value = meaning.kind, value_of(statement, verb, meaning)
        completions = self._rules.completions
        if thing is Thing.PART and completions is not None:
            share = part_progress(statement, verb, learner, course, completions=completions, at_ms=at_ms)
            kind, value = (kind, value) if share is None else (PROGRESS_STATE, share)
        fields = {
            "event_id": event_id_of(statement, learner, course.course_id, kind, at_ms=at_ms, value=value),
            "user_id": learner,
            "course_id": course.course_id,
            "type": kind,
            "timestamp": at_ms,
            "value": value,
            "session_id": session_of(statement),
            "run_id": course.run_id,
            "tenant": course.tenant,
            "source": SOURCE,
        }
        return mapped(verb, fields, now_ms=self._now_ms())

    def _void(self, statement: Mapping[str, Any]) -> Outcome:
        target = inner(statement, "object")
        statement_id = target.get("id")
        if target.get("objectType") != "StatementRef" or not isinstance(statement_id, str):
            return Refused(RefusalReason.SCHEMA, "voided: expected a StatementRef with an id as object")
        event = self._index.find(statement_id)
        if event is None:
            return Skipped(VOIDED, "no statement that passed and entered or left a state")
        opposite = taken_back(event)
        return Skipped(VOIDED, f"{event.type} has no opposite") if opposite is None else Mapped(VOIDED, opposite)


def statement_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """Each statement as a line: a line may hold one, an array of them, or a `{"statements": […]}` of an LRS."""
    for line in lines:
        parts = statements_in(line.content) if line.problem is None else None
        if parts is None:
            yield line  # one statement, or what cannot be read: the adapter says which
        else:
            yield from (Line(line.number, part) for part in parts)


def statements_in(content: bytes) -> list[bytes] | None:
    """The statements of an array or of an LRS's answer; None where the content is neither."""
    is_array = content.startswith(b"[")
    if not is_array and b'"statements"' not in content:
        return None
    if nests_deeper(content, MAX_DEPTH + 2):
        return None
    try:
        parts = _array.decode(content) if is_array else _answer.decode(content).statements
    except (ValueError, RecursionError):  # msgspec's DecodeError is a ValueError
        return None
    return [bytes(part) for part in parts]


class _Answer(msgspec.Struct):
    """What an LRS answers to GET: `more` and the like are of no use here."""

    statements: list[msgspec.Raw]


_array = msgspec.json.Decoder(list[msgspec.Raw])
_answer = msgspec.json.Decoder(_Answer)


def _decoded(content: bytes) -> dict[str, Any]:
    if nests_deeper(content):
        raise NoEvent(Refused(RefusalReason.TOO_DEEP, f"expected a statement nested at most {MAX_DEPTH} deep"))
    try:
        statement = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        raise NoEvent(Refused(RefusalReason.NOT_JSON, "expected a statement as one JSON object on one line")) from None
    if not isinstance(statement, dict):
        received = type(statement).__name__
        raise NoEvent(Refused(RefusalReason.SCHEMA, f"expected a statement as a JSON object, received {received}"))
    return statement


def _verb(statement: Mapping[str, Any]) -> str:
    version = statement.get("version", "1.0.0")
    if not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise NoEvent(Refused(RefusalReason.UNSUPPORTED_VERSION, "expected a statement of xAPI 1.0 or 2.0"))
    verb = inner(statement, "verb").get("id")
    if not isinstance(verb, str):
        raise NoEvent(Refused(RefusalReason.SCHEMA, "expected verb.id as text"))
    return verb
