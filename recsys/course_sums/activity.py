"""What happened to courses lately, as sums that additions join in any order: one form for the fold and for training.

A course's vector holds decayed sums as of its last touch, so none of them can overflow, however short its half-life
and however many years a log spans: `S(t) = Σ nᵢ · 2^((tᵢ − t)/h)`, and as of another instant the whole sum is
multiplied by `2^((t − t′)/h)`. A liking contribution to a learner's record counts 1 from the time at which its weight
decays (`recsys.record.rules.RecordRules.liked_ms`), and −1 when it is taken back. Sums of half-life ∞ are counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.engagement import MS_PER_DAY
from recsys.record import FOREVER_MS

Doubles = NDArray[np.float64]
POPULARITY_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0, np.inf)
"""Half-lives of the decayed popularities."""

FIRST_TOUCH_DAYS = (7.0, 30.0, np.inf)
"""Half-lives of the decayed first touches: how many learners a course has lately won."""

HALF_LIVES = (*POPULARITY_DAYS, *FIRST_TOUCH_DAYS)
"""One for each sum. A part of what shards hold: other ones need a new `recsys.keys.STATE_FORMAT`."""

SUMS = len(HALF_LIVES)
CONTRIBUTIONS = POPULARITY_DAYS.index(np.inf)
FIRST, LAST = SUMS, SUMS + 1
WIDTH = SUMS + 2
"""Columns of a vector: the sums, then the times of the first and the last contribution in ms since 1970 UTC."""

BYTES = 8 * WIDTH
_PER_MS = 1.0 / (np.array(HALF_LIVES) * MS_PER_DAY)
_EMPTY = np.array([*[0.0] * SUMS, float(FOREVER_MS), 0.0])  # finite: a bundle holds no other numbers
_EMPTY_BYTES = _EMPTY.astype("<f8").tobytes()


class Terms(NamedTuple):
    """What joins and leaves, `(k,)` each.

    Attributes:
        course: Which vector.
        at_ms: From when it counts, ms since 1970 UTC.
        popularity: 1 joins the popularities, −1 leaves them.
        first_touches: The same of the first touches.
    """

    course: NDArray[Any]
    at_ms: Doubles
    popularity: Doubles
    first_touches: Doubles


def untouched(courses: int) -> Doubles:
    """Vectors of courses that nothing happened to, `(courses, WIDTH)`."""
    return np.tile(_EMPTY, (courses, 1))


def unpacked(values: Sequence[bytes | None]) -> Doubles:
    """The vectors that `packed` wrote, `(m, WIDTH)`; None is an untouched course.

    Raises:
        ValueError: A value is no vector.
    """
    if any(value is not None and len(value) != BYTES for value in values):
        raise ValueError(f"expected {BYTES} bytes of a course's activity")
    joined = b"".join([_EMPTY_BYTES if value is None else value for value in values])
    return np.frombuffer(joined, "<f8").reshape(-1, WIDTH)


def packed(vectors: Doubles) -> list[bytes]:
    """Each vector as the online store keeps it, `BYTES` bytes."""
    joined = vectors.astype("<f8", copy=False).tobytes()
    return [joined[start : start + BYTES] for start in range(0, len(joined), BYTES)]


def added(before: Doubles, terms: Terms) -> Doubles:
    """Vectors `(m, WIDTH)` after terms joined and left them.

    What leaves must have joined. Of the times of the first and the last contribution nothing is taken back: they are
    those of the contributions that there are or were since the course was untouched last.
    """
    vectors = before.copy()
    joins = terms.popularity > 0
    np.minimum.at(vectors[:, FIRST], terms.course[joins], terms.at_ms[joins])
    np.maximum.at(vectors[:, LAST], terms.course[joins], terms.at_ms[joins])
    last = vectors[:, LAST]
    moved = before[:, LAST] - last
    before_last = terms.at_ms - last[terms.course]
    for column, per_ms in enumerate(_PER_MS.tolist()):
        signs = terms.popularity if column < len(POPULARITY_DAYS) else terms.first_touches
        if per_ms:
            signs = signs * np.exp2(before_last * per_ms)
            vectors[:, column] *= np.exp2(moved * per_ms)
        vectors[:, column] += np.bincount(terms.course, signs, minlength=len(vectors))
    np.maximum(vectors[:, :SUMS], 0.0, out=vectors[:, :SUMS])  # what rounding left of a sum without terms
    return vectors


def touched(vectors: Doubles) -> NDArray[np.bool_]:
    """Whether any contribution is left in each vector `(m,)`."""
    some: NDArray[np.bool_] = vectors[:, CONTRIBUTIONS] > 0.5  # noqa: PLR2004 - a count
    return some


def merged(parts: Sequence[tuple[Sequence[str], Doubles]]) -> tuple[list[str], Doubles]:
    """Ids and vectors `(m, WIDTH)` of whole courses from those of shards, each with the ids of its rows."""
    row_of: dict[str, int] = {}
    rows = [np.array([row_of.setdefault(each, len(row_of)) for each in ids], np.intp) for ids, _ in parts]
    whole = untouched(len(row_of))
    for places, (_, vectors) in zip(rows, parts, strict=True):  # a shard has a course once
        np.minimum.at(whole[:, FIRST], places, vectors[:, FIRST])
        np.maximum.at(whole[:, LAST], places, vectors[:, LAST])
    for places, (_, vectors) in zip(rows, parts, strict=True):
        moved = vectors[:, LAST] - whole[places, LAST]
        whole[places, :SUMS] += vectors[:, :SUMS] * np.exp2(moved[:, None] * _PER_MS)
    return list(row_of), whole


def by_row(ids: Sequence[str], vectors: Doubles, row_of: Mapping[str, int]) -> Doubles:
    """The vectors of a catalogue `(len(row_of), WIDTH)` from those of some courses; the others are untouched."""
    known = np.array([row_of.get(course, -1) for course in ids], np.intp)
    found = untouched(len(row_of))
    found[known[known >= 0]] = vectors[known >= 0]
    return found


class CourseActivity(NamedTuple):
    """What happened to each of `n` courses up to one instant.

    Attributes:
        at_ms: The instant, ms since 1970 UTC.
        popularity: Liking contributions to records, each counting 2^(−age/half-life), `(len(POPULARITY_DAYS), n)`.
        first_touches: The same of each learner's first one to a course, `(len(FIRST_TOUCH_DAYS), n)`.
        first_ms: Time of a course's first one `(n,)`; NaN where there is none.
        last_ms: Time of its last `(n,)`; NaN where there is none.
    """

    at_ms: int
    popularity: Doubles
    first_touches: Doubles
    first_ms: Doubles
    last_ms: Doubles


def activity(vectors: Doubles, at_ms: int) -> CourseActivity:
    """The vectors as of an instant, as `recsys.model.course_features.course_features` reads them."""
    some = touched(vectors)
    since = np.where(some, at_ms - vectors[:, LAST], 0.0)
    sums = (np.where(some[:, None], vectors[:, :SUMS], 0.0) * np.exp2(-since[:, None] * _PER_MS)).T
    return CourseActivity(
        at_ms=at_ms,
        popularity=sums[: len(POPULARITY_DAYS)],
        first_touches=sums[len(POPULARITY_DAYS) :],
        first_ms=np.where(some, vectors[:, FIRST], np.nan),
        last_ms=np.where(some, vectors[:, LAST], np.nan),
    )
