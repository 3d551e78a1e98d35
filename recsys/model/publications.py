"""What was published, as a note beside the bundles: `published.json` in the models folder.

The pointer in Redis says which bundle is in use. This file says the same for the time when Redis does not answer, and
which bundles were published before. The publisher writes it at every publish and rollback; nobody else does. A bundle
that is not named here (`recsys retrain --no-publish`) was never published, however new its folder is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from recsys.errors import BundleError
from recsys.online_store import ModelPointer
from recsys.process.atomic import write_atomically

FILE = "published.json"


class Publications(msgspec.Struct, frozen=True):
    """The publications of one models folder.

    Attributes:
        published: Newest first: the bundle in use, the one before it, and so on. A rollback is a publication, so a
            version may come more than once.
    """

    published: tuple[ModelPointer, ...] = ()

    @property
    def current(self) -> ModelPointer | None:
        """The bundle in use when this was written."""
        return self.published[0] if self.published else None

    def versions(self) -> set[str]:
        """Every version that was published."""
        return {pointer.version for pointer in self.published}

    def after(self, pointer: ModelPointer, replaced: ModelPointer | None) -> Publications:
        """The note after another publication.

        Args:
            pointer: The bundle in use now.
            replaced: What the pointer in Redis named before; it is noted too where this folder did not know of it.
        """
        earlier = self.published
        if replaced is not None and replaced not in earlier:
            earlier = (replaced, *earlier)
        return Publications((pointer, *(each for each in earlier if each != pointer)))

    def kept(self, versions: set[str]) -> Publications:
        """Without the publications of deleted bundles; the two newest stay, and one for every version before them."""
        newest, rest = self.published[:2], self.published[2:]
        known = {pointer.version for pointer in newest}
        older: list[ModelPointer] = []
        for pointer in rest:
            if pointer.version in versions and pointer.version not in known:
                known.add(pointer.version)
                older.append(pointer)
        return Publications((*newest, *older))


def read_publications(models_dir: Path) -> Publications:
    """Reads the note; a folder without one has no publications.

    Raises:
        BundleError: The file cannot be read, or is no such note.
    """
    file = models_dir / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Publications)
    except FileNotFoundError:
        return Publications()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"cannot read the list of publications {file}: {error}; the next publish writes it anew"
        ) from None


def write_publications(models_dir: Path, publications: Publications) -> None:
    """Replaces the note in one step.

    Raises:
        BundleError: It cannot be written.
    """
    try:
        write_atomically(models_dir / FILE, msgspec.json.format(msgspec.json.encode(publications), indent=1))
    except OSError as error:
        raise BundleError(f"cannot write {models_dir / FILE}: {error.strerror}") from None


def newest(candidates: Sequence[ModelPointer | None]) -> ModelPointer | None:
    """The publication that happened last."""
    known = [pointer for pointer in candidates if pointer is not None]
    return max(known, key=lambda pointer: pointer.published_at_ms, default=None)
