"""A user id and named parameters are parsed into a frozen `Query`, or refused with `InvalidQuery`. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from recsys.catalog import Course
from recsys.events import MAX_ID_CHARS
from serving.errors import InvalidQuery

MAX_N = 50
MAX_ID_LENGTH = MAX_ID_CHARS
MAX_EXCLUDED = 200
_NUMBER = re.compile(r"[0-9]{1,9}")
_OFFSET = re.compile(r"[0-9]{1,18}")


class Parameters(Protocol):
    """Query parameters, each given any number of times (Starlette's `QueryParams`)."""

    def getlist(self, key: str, /) -> Sequence[str]:
        """Every value of one parameter."""
        ...


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a course must be, compared without regard to case; None admits all."""

    category: str | None = None
    level: str | None = None
    language: str | None = None

    def admits(self, course: Course) -> bool:
        """Whether the course has every attribute asked for."""
        return all(
            wanted is None or getattr(course, name).casefold() == wanted.casefold() for name, wanted in self.given()
        )

    def given(self) -> list[tuple[str, str]]:
        """The attributes asked for, with their values."""
        pairs = [(name, getattr(self, name)) for name in ATTRIBUTES]
        return [(name, value) for name, value in pairs if value is not None]


ATTRIBUTES: tuple[str, ...] = tuple(field.name for field in fields(Attributes))


@dataclass(frozen=True, slots=True)
class After:
    """An event that the answer should contain, as `POST /v1/events` told where it is.

    Attributes:
        offset: In its partition.
        partition: None for that of the learner.
    """

    offset: int
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What one request asks.

    Attributes:
        user_id: 1–255 printable characters, not all of them blanks.
        n: Most courses in the answer, 1..`MAX_N`.
        exclude: Courses the caller does not want.
        attributes: What the courses must be.
        after: The event that the answer should contain, if any.
    """

    user_id: str
    n: int
    exclude: frozenset[str] = frozenset()
    attributes: Attributes = Attributes()
    after: After | None = None


def parse_query(user_id: str, parameters: Parameters, *, default_n: int) -> Query:
    """Validates a request for recommendations.

    Raises:
        InvalidQuery: It names the parameter.
    """
    exclude = parameters.getlist("exclude")
    if len(exclude) > MAX_EXCLUDED:
        raise InvalidQuery(f"expected at most {MAX_EXCLUDED} times exclude, received {len(exclude)}")
    return Query(
        user_id=_identifier("user_id", user_id),
        n=parse_n(parameters, default_n=default_n),
        exclude=frozenset(_identifier("exclude", course_id) for course_id in exclude),
        attributes=Attributes(**{name: _attribute(name, parameters) for name in ATTRIBUTES}),
        after=_after(parameters),
    )


def parse_n(parameters: Parameters, *, default_n: int) -> int:
    """The number of courses asked for.

    Raises:
        InvalidQuery: For anything but one whole number from 1 to `MAX_N`.
    """
    text = _single("n", parameters)
    if text is None:
        return default_n
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_N:
        raise InvalidQuery(f"expected n from 1 to {MAX_N}, received {text[:20]!r}")
    return int(text)


def _after(parameters: Parameters) -> After | None:
    offset, partition = _whole("after_offset", _OFFSET, parameters), _whole("after_partition", _NUMBER, parameters)
    if offset is None and partition is not None:
        raise InvalidQuery("expected after_offset beside after_partition, received none")
    return None if offset is None else After(offset, partition)


def _whole(name: str, form: re.Pattern[str], parameters: Parameters) -> int | None:
    text = _single(name, parameters)
    if text is not None and not form.fullmatch(text):
        raise InvalidQuery(f"expected {name} as a whole number, received {text[:20]!r}")
    return None if text is None else int(text)


def _single(name: str, parameters: Parameters) -> str | None:
    values = parameters.getlist(name)
    if len(values) > 1:
        raise InvalidQuery(f"expected one {name}, received {len(values)}")
    return values[0] if values else None


def _attribute(name: str, parameters: Parameters) -> str | None:
    value = _single(name, parameters)
    if value is not None and not (1 <= len(value) <= MAX_ID_LENGTH and value.isprintable()):
        raise InvalidQuery(f"expected {name} of 1 to {MAX_ID_LENGTH} printable characters, received {value[:20]!r}")
    return value


def _identifier(name: str, value: str) -> str:
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        raise InvalidQuery(f"expected {name} of 1 to {MAX_ID_LENGTH} characters, received {len(value)}")
    if not value.isprintable():
        raise InvalidQuery(f"expected {name} of printable characters, received others")
    if value.isspace():
        raise InvalidQuery(f"expected {name} that shows something, received blanks only")
    return value
