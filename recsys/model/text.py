"""The text model: TF-IDF of a course's text and its projection, fitted by `batch.features`, transformed by NumPy alone.

What is fitted is saved as JSON (`TextModel.document`) and one array; the model rebuilt from a bundle gives identical
output, so a fine-tuner can place a course that came after the training.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recsys.catalog import Course
from recsys.errors import BundleError
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.markup import without_markup
from recsys.model.terms import VERSION, short_names, terms

TFIDF_FILE = "tfidf.json"
COMPONENTS = "text_components"
"""A bundle's document and array that hold the text model."""

GLUED_SENTENCES = re.compile(r"(?<=[a-z]{2}[.!?;:,])(?=[A-Z][a-z])|(?<=[a-z])(?=\([a-z])|(?<=[a-z]\))(?=[A-Za-z])")
"""Where a line break between sentences was lost: "documents.As a part"."""

NAME_WEIGHT = 128
"""Counts enter as 1 + ln(count): a short name weighs 3.5 times a word of the title, more than a phrase beside it."""

WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*")


class SparseRows(NamedTuple):
    """Rows of a sparse matrix `(n, v)` in compressed form, as `scipy.sparse.csr_array` takes them.

    Attributes:
        values: `(entries,)`.
        columns: `(entries,)`, ascending within a row.
        starts: Where each row starts, `(n + 1,)`.
    """

    values: Doubles
    columns: Rows
    starts: Rows


def course_terms(course: Course, cuts: Mapping[str, int]) -> list[str]:
    """The terms TF-IDF counts; title and skills count twice, for they are short and say most.

    A short name in a title counts `NAME_WEIGHT` times more: "C++ for beginners" shares three terms with "C for
    beginners" and one with "Advanced C++", which is the one that says what it is about.

    Args:
        course: As people read it.
        cuts: Glued word → where it is parted (see `TextModel`).
    """
    title, skills = without_markup(course.title), without_markup(" ".join(course.skills))
    intro = part_words(GLUED_SENTENCES.sub(" ", without_markup(course.intro)), cuts)
    return terms(f"{title} {title} {skills} {skills} {intro}") + short_names(title) * NAME_WEIGHT


def part_words(text: str, cuts: Mapping[str, int]) -> str:
    """The text with a blank inside each glued word."""
    if not cuts:
        return text

    def parted(match: re.Match[str]) -> str:
        word, cut = match[0], cuts.get(match[0].lower(), 0)
        return f"{word[:cut]} {word[cut:]}" if cut else word

    return WORD.sub(parted, text)


@dataclass(frozen=True, slots=True)
class TextModel:
    """A fitted TF-IDF and its projection.

    Attributes:
        vocabulary: Term → column, `v` terms.
        idf: Inverse document frequencies `(v,)`.
        cuts: Glued word (lower case) → where it is parted; found in the texts the model was fitted on.
        components: Projection `(v, text_dim)`, from a truncated SVD (latent semantic analysis).
    """

    vocabulary: Mapping[str, int]
    idf: Sequence[float]
    cuts: Mapping[str, int]
    components: Floats

    def tfidf(self, courses: Sequence[Course]) -> SparseRows:
        """Unit-length TF-IDF rows `(n, v)` with the weight (1 + ln count) · idf; no known term, an empty row."""
        return self.tfidf_of(course_terms(course, self.cuts) for course in courses)

    def tfidf_of(self, texts: Iterable[Sequence[str]]) -> SparseRows:
        """`tfidf` of courses whose terms were found already, with the cuts of this model (`course_terms`)."""
        idf = np.asarray(self.idf, np.float64)
        values: list[Doubles] = [np.zeros(0)]
        columns: list[Rows] = [np.zeros(0, np.int32)]
        for found in texts:
            counts = Counter(self.vocabulary.get(term, -1) for term in found)
            counts.pop(-1, None)
            known = np.array(sorted(counts), np.int32)
            weights = (1.0 + np.log([counts[int(column)] for column in known])) * idf[known]
            columns.append(known)
            values.append(weights / (np.sqrt(weights @ weights) or 1.0))
        starts = np.concatenate([[0], np.cumsum([len(row) for row in values[1:]])]).astype(np.int32)
        return SparseRows(np.concatenate(values), np.concatenate(columns), starts)

    def project(self, courses: Sequence[Course]) -> Floats:
        """What the course tower sees, `(n, text_dim)`."""
        return self.projected(self.tfidf(courses))

    def projected(self, rows: SparseRows) -> Floats:
        """The projection of TF-IDF rows, `(n, text_dim)`."""
        out = np.zeros((len(rows.starts) - 1, self.components.shape[1]))
        for row, (start, end) in enumerate(zip(rows.starts[:-1], rows.starts[1:], strict=True)):
            out[row] = rows.values[start:end] @ self.components[rows.columns[start:end]]
        return out.astype(np.float32)

    def document(self) -> dict[str, Any]:
        """The JSON form (the projection is an array of the bundle)."""
        return {
            "analyser": VERSION,
            "vocabulary": dict(self.vocabulary),
            "idf": list(self.idf),
            "cuts": dict(self.cuts),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], components: Floats) -> TextModel:
        """The model from its JSON form and its array.

        Raises:
            BundleError: It was fitted by another version of the analyser.
        """
        version = document.get("analyser", 1)
        if version != VERSION:
            raise BundleError(
                f"the bundle's text was analysed by version {version}, this program has version {VERSION};"
                " retrain (`recsys retrain`) to get a bundle of this version"
            )
        return cls(document["vocabulary"], document["idf"], document["cuts"], components)
