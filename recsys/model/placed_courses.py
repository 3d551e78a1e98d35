"""A bundle with the catalogue of now: courses that came, changed or went since it was trained. NumPy only, pure.

A course that the bundle does not know is placed by its text, as a retrain places one that nobody touched
(`recsys.model.item_item`): its text weights are the cosines of TF-IDF, and its item-item weights those of the
`LENDERS` touched courses of most similar text. Its vectors are their mean by similarity, because the course tower
itself is not in an array. Its features are those of a course that nobody touched, until somebody does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.catalog import Course
from recsys.course_sums.activity import activity, touched, untouched
from recsys.model.bundle import MIXER, Bundle
from recsys.model.course_features import course_features
from recsys.model.inputs import Doubles, Floats
from recsys.model.signals import ITEM_ITEM
from recsys.model.terms import VERSION
from recsys.model.text import COMPONENTS, TFIDF_FILE, SparseRows, TextModel

LENDERS = 10
"""Courses of similar text that lend their weights to one that nobody liked yet."""

MOST_PLACED = 500
"""Courses placed at most: more of them are a catalogue that the bundle was not trained on."""

_VECTORS = ("course_vectors", "course_bias", "history_vectors")
_NEEDED = {MIXER, COMPONENTS, "feature_mean", "feature_scale"}
_ANY_TIME = 0


class Links(NamedTuple):
    """A sparse square matrix, `(e,)` each; those of a bundle with ascending rows."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    weights: Floats


class _LatestRows:
    """The TF-IDF rows that were read last in this process: the increments of a retrain have its texts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of: tuple[Any, Sequence[Any]] = None, ()
        self._rows = SparseRows(np.zeros(0), np.zeros(0, np.int32), np.zeros(1, np.int32))

    def get(self, document: Any, courses: Sequence[Course], components: Floats) -> SparseRows:
        """The rows of courses; who asks while they are being read waits for them.

        Args:
            document: Of the text model.
            courses: Whose.
            components: Of the text model.
        """
        of = document, [_text(course) for course in courses]
        with self._lock:
            if of != self._of:
                self._rows, self._of = TextModel.from_document(document, components).tfidf(courses), of
            return self._rows


_latest_rows = _LatestRows()


class BundleTexts:
    """Places courses in one bundle; what that costs once is computed at the first, or when `read` is called.

    Args:
        bundle: A verified bundle.
        most: New courses that are placed at most, the last of the catalogue; and courses whose changed text is read.
    """

    def __init__(self, bundle: Bundle, *, most: int = MOST_PLACED) -> None:
        self._bundle, self._most = bundle, most
        self._rows = {course.course_id: row for row, course in enumerate(bundle.courses)}

    @property
    def can_place(self) -> bool:
        """Whether the bundle has what places a course that it does not know, and a text that this program reads."""
        documents, arrays = self._bundle.documents, self._bundle.arrays
        is_read = TFIDF_FILE in documents and documents[TFIDF_FILE].get("analyser", 1) == VERSION
        return is_read and arrays.keys() >= _NEEDED

    def read(self) -> None:
        """Reads the texts of the bundle's own courses (a millisecond each), so that no new course waits for that."""
        if self.can_place:
            _ = self._tfidf

    def with_catalogue(self, courses: Mapping[str, Course], retired: Collection[str]) -> Bundle:
        """The bundle with a catalogue's courses; itself where they are its own.

        Courses of its own that the catalogue does not name stay as they are. Of one whose text changed, the text
        weights change, and what a retrain learned of it stays. A bundle without text or of a baseline has no place for
        courses that it does not know.

        Args:
            courses: Course id → its newest state.
            retired: Courses that are not recommended any more, whatever their state says.
        """
        bundle = self._bundle

        def of_now(course: Course) -> Course:
            now = courses.get(course.course_id, course)
            gone = now.retired or now.course_id in retired
            return msgspec.structs.replace(now, retired=True) if gone else now

        known = [of_now(course) for course in bundle.courses]
        changed = [row for row, course in enumerate(known) if _text(course) != _text(bundle.courses[row])]
        new: list[Course] = []
        if TFIDF_FILE in bundle.documents and bundle.arrays.keys() >= _NEEDED:
            new = [course for course in map(of_now, courses.values()) if self._is_new(course)]
        else:
            changed = []
        new, changed = new[-self._most :], changed[: self._most]
        if known == [*bundle.courses] and not new:
            return bundle
        every = [*known, *new]
        if not new and not changed:
            return replace(bundle, courses=every)
        return replace(bundle, courses=every, arrays=self._placed(every, changed))

    def _is_new(self, course: Course) -> bool:
        return course.course_id not in self._rows and not course.retired

    def _placed(self, courses: Sequence[Course], changed: Sequence[int]) -> dict[str, NDArray[Any]]:
        arrays, before = self._bundle.arrays, len(self._bundle.courses)
        rows = np.array([*changed, *range(before, len(courses))], np.intp)
        cosines = self._cosines(courses, rows)
        shares = self._lent(cosines, before)
        found: dict[str, NDArray[Any]] = dict(arrays)
        per_row = self._bundle.manifest.settings.neighbours
        for name in ITEM_ITEM:
            links = _links(arrays, name)
            if name == "text":
                links, more = _without(links, rows), _text_links(rows, cosines, per_row)
            elif len(courses) > before:
                more = _lent_links(links, np.arange(before, len(courses)), shares[len(changed) :])
            else:
                continue
            found |= _compressed(name, _only_strong(links, more, rows, per_row), len(courses))
        if len(courses) > before:
            found |= self._new_rows(shares[len(changed) :], len(courses) - before)
        return found

    def _new_rows(self, shares: Doubles, new: int) -> dict[str, NDArray[Any]]:
        """Vectors and features with those of new courses, by what each is lent `(new, n)`."""
        arrays, found, before = self._bundle.arrays, dict[str, NDArray[Any]](), len(self._bundle.courses)
        for name in _VECTORS:
            mean = arrays[name].mean(axis=0)
            total = shares[:, :before].sum(axis=1)
            lent = shares[:, :before] @ arrays[name]
            apart = (1.0 - total) if arrays[name].ndim == 1 else (1.0 - total)[:, None]
            found[name] = np.concatenate([arrays[name], (lent + apart * mean).astype(np.float32)])
        nobody = course_features(activity(untouched(new), _ANY_TIME))
        standardised = (nobody - arrays["feature_mean"]) / arrays["feature_scale"]
        found["features"] = np.concatenate([arrays["features"], standardised.astype(np.float32)])
        if "activity" in arrays:
            found["activity"] = np.concatenate([arrays["activity"], untouched(new)])
        return found

    @cached_property
    def _text_model(self) -> TextModel:
        return TextModel.from_document(self._bundle.documents[TFIDF_FILE], self._bundle.arrays[COMPONENTS])

    @cached_property
    def _tfidf(self) -> SparseRows:
        """Of the bundle's own courses."""
        bundle = self._bundle
        return _latest_rows.get(bundle.documents[TFIDF_FILE], bundle.courses, bundle.arrays[COMPONENTS])

    def _cosines(self, courses: Sequence[Course], rows: NDArray[np.intp]) -> Doubles:
        """Of the texts of some courses with those of all, `(len(rows), len(courses))`."""
        before, text = len(self._bundle.courses), self._text_model
        placed = text.tfidf([courses[row] for row in rows])
        own = self._tfidf
        owner = np.arange(before).repeat(np.diff(own.starts))
        placed_owner = np.arange(len(rows)).repeat(np.diff(placed.starts))
        cosines = np.zeros((len(rows), len(courses)))
        for n, (start, end) in enumerate(zip(placed.starts[:-1], placed.starts[1:], strict=True)):
            words = np.zeros(len(text.idf))
            words[placed.columns[start:end]] = placed.values[start:end]
            cosines[n, :before] = np.bincount(owner, own.values * words[own.columns], minlength=before)
            cosines[n, rows] = np.bincount(placed_owner, placed.values * words[placed.columns], minlength=len(rows))
        return cosines

    def _lent(self, cosines: Doubles, before: int) -> Doubles:
        """How much each course is lent by each, `(placed, n)`: cosine² of its lenders over the sum of their cosines."""
        arrays = self._bundle.arrays
        lends = np.zeros(cosines.shape[1], bool)
        lends[:before] = touched(arrays["activity"]) if "activity" in arrays else True
        shares = np.zeros(cosines.shape)
        for n, cosine in enumerate(cosines):
            able = np.where(lends, cosine, 0.0)
            lenders = np.argsort(-able, kind="stable")[:LENDERS]
            total = able[lenders].sum()
            if total > 0:
                shares[n, lenders] = able[lenders] ** 2 / total
        return shares


def _text(course: Course) -> tuple[str, str, tuple[str, ...]]:
    return course.title, course.intro, course.skills


def _links(arrays: Mapping[str, NDArray[Any]], name: str) -> Links:
    bounds = arrays[f"{name}_indptr"]
    rows = np.arange(len(bounds) - 1).repeat(np.diff(bounds))
    return Links(rows, arrays[f"{name}_indices"].astype(np.intp), arrays[f"{name}_weights"])


def _without(links: Links, courses: NDArray[np.intp]) -> Links:
    kept = ~(np.isin(links.rows, courses) | np.isin(links.columns, courses))
    return Links(links.rows[kept], links.columns[kept], links.weights[kept])


def _text_links(rows: NDArray[np.intp], cosines: Doubles, per_row: int) -> Links:
    """The strongest cosines of each placed course with the others, in its row and in theirs."""
    found: list[NDArray[np.intp]] = [np.empty((3, 0), np.intp)]
    weights = [np.empty(0)]
    placed = set(rows.tolist())
    for row, cosine in zip(rows.tolist(), cosines, strict=True):
        near = np.argsort(-cosine, kind="stable")[:per_row]
        near = near[cosine[near] > 0]
        others = np.array([column for column in near.tolist() if column not in placed], np.intp)
        found.append(np.stack([np.full(len(near), row), near, near]))
        found.append(np.stack([others, np.full(len(others), row), others]))
        weights += [cosine[near], cosine[others]]
    joined = np.concatenate(found, axis=1)
    return Links(joined[0], joined[1], np.concatenate(weights).astype(np.float32))


def _lent_links(links: Links, columns: NDArray[np.intp], shares: Doubles) -> Links:
    """The weights of new columns: those of their lenders' by their shares."""
    rows, owners, weights = [np.empty(0, np.intp)], [np.empty(0, np.intp)], [np.empty(0, np.float32)]
    for column, share in zip(columns.tolist(), shares, strict=True):
        of_lenders = np.flatnonzero(share[links.columns])
        lent = np.bincount(
            links.rows[of_lenders], links.weights[of_lenders] * share[links.columns[of_lenders]], minlength=len(share)
        )
        some = np.flatnonzero(lent)
        rows.append(some)
        owners.append(np.full(len(some), column))
        weights.append(lent[some].astype(np.float32))
    return Links(np.concatenate(rows), np.concatenate(owners), np.concatenate(weights))


def _only_strong(links: Links, more: Links, placed: NDArray[np.intp], per_row: int) -> Links:
    """Links with more of them, but for such as are weaker than all of a row that is full."""
    n = max(int(each.max(initial=-1)) for each in (links.rows, more.rows, more.columns, placed)) + 1
    weakest = np.full(n, np.inf)
    if len(links.rows):
        begins = np.flatnonzero(np.diff(links.rows, prepend=-1))
        weakest[links.rows[begins]] = np.minimum.reduceat(np.abs(links.weights), begins)
    full = np.bincount(links.rows, minlength=n) >= per_row
    kept = ~full[more.rows] | (np.abs(more.weights) > weakest[more.rows])
    return Links(
        np.concatenate([links.rows, more.rows[kept]]),
        np.concatenate([links.columns, more.columns[kept]]),
        np.concatenate([links.weights, more.weights[kept]]),
    )


def _compressed(name: str, links: Links, n: int) -> dict[str, NDArray[Any]]:
    order = np.argsort(links.rows, kind="stable")  # of a sorted run and a few more: in linear time
    starts = np.concatenate([[0], np.cumsum(np.bincount(links.rows, minlength=n))])
    return {
        f"{name}_indptr": starts.astype(np.int64),
        f"{name}_indices": links.columns[order].astype(np.int32),
        f"{name}_weights": links.weights[order].astype(np.float32),
    }
