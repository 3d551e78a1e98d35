"""What a course's text says, as vectors: one seam with two encoders behind it.

TF-IDF is the default. A sentence-transformers model is read from a folder on this machine and downloads nothing; it is
an extra (`transformer`) that only the batch layer needs: the bundle carries what was made of its vectors, so worker and
API rank with NumPy alone either way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from batch.features import as_matrix, tfidf_rows
from recsys.catalog import Course
from recsys.errors import ConfigurationError
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats, Rows
from recsys.model.markup import without_markup
from recsys.model.text import TextModel

TFIDF = "tfidf"


class EncodedText(NamedTuple):
    """The texts of a catalogue of `n` courses.

    Attributes:
        rows: Unit-length rows, or empty ones, whose products are cosines `(n, v)`.
        projected: What the towers see `(n, text_dim)`.
    """

    rows: sparse.csr_array
    projected: Floats


class TextEncoder(Protocol):
    """Turns courses into vectors.

    Attributes:
        name: For reports and the bundle.
    """

    name: str

    def encode(
        self, courses: Sequence[Course], known: Rows, text: TextModel, hyperparameters: HyperParameters
    ) -> EncodedText:
        """The texts of a catalogue.

        Args:
            courses: The catalogue.
            known: Rows of the courses that the training side touched; what is fitted is fitted on these alone.
            text: TF-IDF fitted on them.
            hyperparameters: For the length of what the towers see, and the seed.
        """
        ...


class TfidfEncoder:
    """TF-IDF and its projection, which every bundle has anyway."""

    name = TFIDF

    def encode(
        self, courses: Sequence[Course], known: Rows, text: TextModel, hyperparameters: HyperParameters
    ) -> EncodedText:
        """See `TextEncoder`."""
        rows = tfidf_rows(text, courses)
        return EncodedText(as_matrix(text, rows), text.projected(rows))


class SentenceEncoder:
    """A sentence-transformers model; it reads each text once, for a comparison fits several hybrids on one catalogue.

    Args:
        model: With the method `encode(texts, normalize_embeddings=True)` → `(n, d)`.
        name: For reports.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model, self.name = model, name
        self._read: dict[str, Floats] = {}

    @classmethod
    def from_folder(cls, folder: Path) -> SentenceEncoder:
        """Loads a model from a folder; nothing is downloaded.

        Raises:
            ConfigurationError: The folder is not there or holds no such model, or the extra is not installed.
        """
        if not folder.is_dir():
            raise ConfigurationError(f"no folder {folder} of a sentence-transformers model (RECSYS_TEXT_ENCODER)")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "RECSYS_TEXT_ENCODER is set, and sentence-transformers is not installed: it comes with the extra "
                "`transformer` (pip install 'course-stream-recommender[transformer]')"
            ) from None
        try:
            return cls(SentenceTransformer(str(folder), local_files_only=True), folder.name)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{folder} holds no sentence-transformers model: {error}") from None

    def encode(
        self, courses: Sequence[Course], known: Rows, text: TextModel, hyperparameters: HyperParameters
    ) -> EncodedText:
        """See `TextEncoder`."""
        vectors = self._vectors(plain_texts(courses))
        projected = np.zeros((len(courses), hyperparameters.text_dim), np.float32)
        size = min(hyperparameters.text_dim, min(vectors[known].shape) - 1)
        if size > 0:
            svd = TruncatedSVD(size, random_state=hyperparameters.seed).fit(vectors[known])
            projected[:, :size] = svd.transform(vectors)
        return EncodedText(sparse.csr_array(vectors), projected)

    def _vectors(self, texts: Sequence[str]) -> Floats:
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        if new:
            vectors = np.asarray(self._model.encode(new, normalize_embeddings=True), np.float32)
            self._read.update(zip(new, vectors, strict=True))
        return np.stack([self._read[text] for text in texts])


def plain_texts(courses: Sequence[Course]) -> list[str]:
    """Title, skills and introduction of each course as one text without markup."""
    return [without_markup(". ".join(filter(None, [c.title, ", ".join(c.skills), c.intro]))) for c in courses]


def encoder_of(folder: Path | None) -> TextEncoder:
    """The encoder that a setting names: TF-IDF where there is none.

    Raises:
        ConfigurationError: See `SentenceEncoder.from_folder`.
    """
    return TfidfEncoder() if folder is None else SentenceEncoder.from_folder(folder)
