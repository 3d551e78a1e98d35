"""The model bundle: an immutable folder, written whole or not at all, and verified before anything in it is used.

`manifest.json` names every file with its SHA-256 and carries a SHA-256 of itself; the folder is named by the version.
Arrays are `.npy`, read without pickle; the rest is JSON, and Keras weights that only training opens. Nothing here ranks
(`scorer`) or trains (`training`).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.catalog import Course
from recsys.errors import BundleError, ConfigurationError
from recsys.model.hyperparameters import HyperParameters
from recsys.model.manifest import FORMATS, LINEAR_FORMAT, RANKER_FORMAT, DataRange, EngagementTable, Manifest

MANIFEST = "manifest.json"
MIXER = "mixer_weights"
"""A bundle with this array is ranked by the ranker."""

_BLANK = "0" * 64
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_]*(\.[a-z0-9]+)+")

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """What goes into a new bundle.

    Attributes:
        parent: Version this one was fine-tuned from; None for a retrain.
        created_at_ms: ms since 1970 UTC.
        data: The history seen.
        settings: Of the model.
        engagement: Of the stored sums.
        metrics: Evaluation figures, JSON values.
        users: User ids; user `i` has row `i + 1` of the user embeddings, row 0 is the unknown user.
        courses: The catalogue; course `i` has row `i` of every course array.
        arrays: Name → array, saved as `<name>.npy`.
        documents: File name → JSON value (vocabularies, label encodings).
        blobs: File name → bytes (Keras weights).
    """

    parent: str | None
    created_at_ms: int
    data: DataRange
    settings: HyperParameters
    engagement: EngagementTable
    metrics: Mapping[str, Any]
    users: Sequence[str]
    courses: Sequence[Course]
    arrays: Mapping[str, Array]
    documents: Mapping[str, Any] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory; `blobs` are verified bytes of the files that are neither arrays nor JSON."""

    path: Path
    manifest: Manifest
    users: Sequence[str]
    courses: Sequence[Course]
    arrays: Mapping[str, Array]
    documents: Mapping[str, Any]
    blobs: Mapping[str, bytes]


def write_bundle(models_dir: Path, draft: Draft) -> Path:
    """Writes a bundle: temporary folder, fsync, rename. A crash leaves no folder that could be mistaken for one.

    Returns:
        The bundle's folder, `models_dir/<version>`.

    Raises:
        BundleError: When it cannot be written.
    """
    contents = _contents(draft)
    files = {name: _sha256(value) for name, value in contents.items()}
    manifest = _manifest(draft, files)
    contents[MANIFEST] = _signed(manifest)
    target = models_dir / manifest.version
    temporary = models_dir / f".writing-{manifest.version}-{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        for name, value in contents.items():
            _write_synced(temporary / name, value)
        _sync_folder(temporary)
        temporary.rename(target)
        _sync_folder(models_dir)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise BundleError(f"expected to write the bundle {target}, received {error}") from None
    return target


def load_bundle(path: Path) -> Bundle:
    """Reads a bundle; every byte is hashed before it is parsed.

    Raises:
        BundleError: When a file is missing, not listed, changed, or leads out of the folder.
    """
    manifest = load_manifest(path)
    contents = {name: _verified(path, name, digest) for name, digest in manifest.files.items()}
    try:
        arrays = {name[:-4]: _array(contents[name]) for name in contents if name.endswith(".npy")}
        documents = {name: msgspec.json.decode(value) for name, value in contents.items() if name.endswith(".json")}
        users = msgspec.convert(documents.pop("users.json"), list[str])
        courses = msgspec.convert(documents.pop("courses.json"), list[Course])
    except (KeyError, ValueError, EOFError, msgspec.MsgspecError) as error:
        raise BundleError(f"expected a complete model bundle in {path}, received {error!r}") from None
    blobs = {name: value for name, value in contents.items() if not name.endswith((".npy", ".json"))}
    return Bundle(path, manifest, users, courses, arrays, documents, blobs)


def as_bundle(draft: Draft) -> Bundle:
    """The draft as a bundle in memory, to try a model out before it is written; its path does not exist."""
    manifest = _manifest(draft, {})
    return Bundle(
        Path(manifest.version), manifest, draft.users, draft.courses, draft.arrays, draft.documents, draft.blobs
    )


def load_manifest(path: Path) -> Manifest:
    """Reads and verifies the manifest alone.

    Raises:
        BundleError: When it is missing, changed, of another format, or names another version than the folder.
    """
    raw = _read(path, MANIFEST)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, ConfigurationError) as error:
        raise BundleError(f"expected a model manifest in {path / MANIFEST}, received {error}") from None
    if manifest.format not in FORMATS or manifest.version != path.name:
        raise BundleError(
            f"expected format {' or '.join(map(str, FORMATS))} and version {path.name!r} in {path / MANIFEST}, "
            f"received {manifest.format} and {manifest.version!r}"
        )
    if not manifest.digest or manifest.digest != _digest(raw, manifest.digest):
        raise BundleError(f"expected {path / MANIFEST} to have its own SHA-256, received other content")
    return manifest


def _contents(draft: Draft) -> dict[str, bytes]:
    contents = {f"{name}.npy": _npy(array) for name, array in draft.arrays.items()}
    contents |= {name: msgspec.json.encode(value) for name, value in draft.documents.items()}
    contents |= {"users.json": msgspec.json.encode(draft.users), "courses.json": msgspec.json.encode(draft.courses)}
    contents |= draft.blobs
    odd = [name for name in contents if not _FILE_NAME.fullmatch(name)]
    if odd:
        raise BundleError(f"expected plain file names in a bundle, received {odd}")
    return contents


def _manifest(draft: Draft, files: dict[str, str]) -> Manifest:
    created = datetime.fromtimestamp(draft.created_at_ms / 1000, UTC)
    content = _sha256(
        msgspec.json.encode([files, draft.parent, draft.data, draft.created_at_ms], order="deterministic")
    )
    return Manifest(
        format=RANKER_FORMAT if MIXER in draft.arrays else LINEAR_FORMAT,
        version=f"{created:%Y%m%dT%H%M%S}-{content[:8]}",
        parent=draft.parent,
        created_at_ms=draft.created_at_ms,
        data=draft.data,
        settings=draft.settings,
        engagement=draft.engagement,
        metrics=dict(draft.metrics),
        files=files,
        digest=_BLANK,
    )


def _signed(manifest: Manifest) -> bytes:
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return raw.replace(_BLANK.encode(), _sha256(raw).encode())


def _digest(raw: bytes, digest: str) -> str:
    return _sha256(raw.replace(digest.encode(), _BLANK.encode()))


def _sha256(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _array(value: bytes) -> Array:
    array: Array = np.load(io.BytesIO(value), allow_pickle=False)
    array.setflags(write=False)
    return array


def _verified(folder: Path, name: str, digest: str) -> bytes:
    if not _FILE_NAME.fullmatch(name):
        raise BundleError(f"expected plain file names in {folder / MANIFEST}, received {name!r}")
    value = _read(folder, name)
    if _sha256(value) != digest:
        raise BundleError(f"expected SHA-256 {digest} of {folder / name}, received {_sha256(value)}")
    return value


def _read(folder: Path, name: str) -> bytes:
    file = folder / name
    if file.is_symlink():
        raise BundleError(f"expected a plain file {file}, received a symbolic link")
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"expected a readable file {file}, received {error.strerror}") from None


def _write_synced(file: Path, value: bytes) -> None:
    with file.open("wb") as handle:
        handle.write(value)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
