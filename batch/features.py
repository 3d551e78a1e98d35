"""Course features: projected TF-IDF of the text, label-encoded and scaled attributes; fitted on the training side.

What is fitted is saved as JSON and `.npy`; the models rebuilt from a bundle give identical output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from batch.text_repair import find_cuts
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Floats
from recsys.model.markup import without_markup
from recsys.model.text import SparseRows, TextModel, course_terms

ATTRIBUTES_FILE = "attributes.json"
_LABELS = ("category", "level", "language")
_NO_TERMS = "empty vocabulary"


@dataclass(frozen=True, slots=True)
class ReadTexts:
    """The texts of a catalogue as terms.

    Attributes:
        cuts: Glued word → where it is parted, found in these texts.
        terms: Course → its terms with these cuts.
    """

    cuts: dict[str, int]
    terms: Mapping[Course, Sequence[str]]

    def of(self, course: Course) -> Sequence[str]:
        """The terms of a course, of this catalogue or not."""
        found = self.terms.get(course)
        return course_terms(course, self.cuts) if found is None else found


@lru_cache(maxsize=1)
def read_texts(catalogue: tuple[Course, ...]) -> ReadTexts:
    """Cuts and terms of a catalogue, kept for the last one: a retrain fits four text models on parts of the same texts.

    Finding the terms of 1,200 long descriptions takes three seconds; kept, they take some 15 KB a course.
    """
    cuts = find_cuts([without_markup(course.intro) for course in catalogue])
    shared: dict[str, str] = {}
    terms = {
        course: tuple(shared.setdefault(term, term) for term in course_terms(course, cuts)) for course in catalogue
    }
    return ReadTexts(cuts, terms)


def fit_text(
    courses: Sequence[Course], hyperparameters: HyperParameters, catalogue: Sequence[Course] | None = None
) -> TextModel:
    """Fits TF-IDF and projection on the text of the courses given.

    Args:
        courses: What the training side knows.
        hyperparameters: Of the model.
        catalogue: Where glued words are looked for; None: in `courses`. How words are written says nothing about
            learners, so the whole catalogue may tell.
    """
    read = read_texts(tuple(catalogue or courses))
    vectorizer = TfidfVectorizer(
        analyzer=read.of,
        sublinear_tf=True,
        max_features=hyperparameters.text_terms,
        min_df=1 if len(courses) < 50 else 2,  # noqa: PLR2004 - a tiny catalogue has no common terms
    )
    try:
        matrix = vectorizer.fit_transform(courses)
    except ValueError as error:
        if _NO_TERMS not in str(error) and "no terms remain" not in str(error):
            raise
        return TextModel({}, [], {}, np.zeros((0, hyperparameters.text_dim), np.float32))
    components = np.zeros((matrix.shape[1], hyperparameters.text_dim), np.float32)
    size = min(hyperparameters.text_dim, min(matrix.shape) - 1)
    if size > 0:
        svd = TruncatedSVD(size, random_state=hyperparameters.seed, n_iter=4).fit(matrix)
        components[:, :size] = svd.components_.T
    vocabulary = {str(term): int(column) for term, column in vectorizer.vocabulary_.items()}
    return TextModel(vocabulary, vectorizer.idf_.tolist(), read.cuts, components)


def tfidf_matrix(text: TextModel, courses: Sequence[Course]) -> sparse.csr_array:
    """Unit-length TF-IDF rows `(n, v)` (see `TextModel.tfidf`)."""
    return as_matrix(text, tfidf_rows(text, courses))


def tfidf_rows(text: TextModel, courses: Sequence[Course]) -> SparseRows:
    """`TextModel.tfidf` from the terms that `read_texts` keeps, where the model was fitted on the same catalogue."""
    read = read_texts(tuple(courses))
    return text.tfidf_of(map(read.of, courses)) if read.cuts == text.cuts else text.tfidf(courses)


def as_matrix(text: TextModel, rows: SparseRows) -> sparse.csr_array:
    """TF-IDF rows as a matrix `(n, v)`."""
    shape = (len(rows.starts) - 1, len(text.vocabulary))
    return sparse.csr_array((rows.values, rows.columns, rows.starts), shape=shape)


@dataclass(frozen=True, slots=True)
class AttributeModel:
    """Label encodings and the scaling of numbers.

    Attributes:
        labels: Attribute → its known values; a value's place is its label. Unknown and empty values have no label.
        mean: Of the numbers, `(3,)`.
        scale: Their standard deviations, 1 where constant.
    """

    labels: dict[str, list[str]]
    mean: list[float]
    scale: list[float]

    def transform(self, courses: Sequence[Course]) -> Floats:
        """One-hot labels and standardised numbers, `(n, a)`."""
        columns = [(_numbers(courses) - self.mean) / self.scale]
        for name, known in self.labels.items():
            values = np.array([getattr(course, name) for course in courses], dtype=object)
            columns.append(values[:, None] == np.array(known, dtype=object)[None, :])
        return np.hstack(columns).astype(np.float32)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"labels": self.labels, "mean": self.mean, "scale": self.scale}


def fit_attributes(courses: Sequence[Course]) -> AttributeModel:
    """Fits label encodings and scaling on the courses given."""
    labels = {name: sorted({getattr(course, name) for course in courses} - {""})[:256] for name in _LABELS}
    numbers = _numbers(courses)
    deviation = numbers.std(axis=0)
    return AttributeModel(labels, numbers.mean(axis=0).tolist(), np.where(deviation > 0, deviation, 1.0).tolist())


def course_features(
    courses: Sequence[Course], projected: Floats, attributes: AttributeModel, touched: NDArray[np.bool_]
) -> CourseFeatures:
    """What the course tower sees of a catalogue.

    Args:
        courses: The catalogue, `n` courses.
        projected: Their texts `(n, text_dim)`.
        attributes: Fitted.
        touched: Whether training holds an interaction with each course `(n,)`; the others have no id embedding.
    """
    index = np.where(touched, np.arange(1, len(courses) + 1), 0).astype(np.int32)
    return CourseFeatures(index, projected, attributes.transform(courses))


def _numbers(courses: Sequence[Course]) -> NDArray[np.float64]:
    """Lengths of title, intro (both in words, logarithmic) and skills `(n, 3)`."""
    rows = [(len(course.title.split()), len(course.intro.split()), len(course.skills)) for course in courses]
    return np.log1p(np.array(rows, np.float64).reshape(-1, 3))
