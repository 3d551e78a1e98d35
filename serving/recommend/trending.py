"""Trending as last read is kept on disk, so that it outlives an outage of Redis and a restart of this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from recsys.catalog import Course
from recsys.errors import InputError
from recsys.online_store import Trending
from recsys.process.atomic import write_atomically
from serving.recommend.answers import Source

SNAPSHOT_FILE = "trending.json"
SAVE_INTERVAL_MS = 30_000

_log = structlog.get_logger(__name__)


class Snapshot(msgspec.Struct, frozen=True):
    """A trending list that stands on its own.

    Attributes:
        trending: The merged list.
        courses: Those of its courses that were in the catalogue, for titles and filters without any bundle.
    """

    trending: Trending
    courses: dict[str, Course]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Snapshot)


class LatestTrending:
    """The latest list and where it came from.

    Args:
        folder: Where the snapshot file is kept; made when first needed.

    Attributes:
        snapshot: The latest list; None when there never was one.
        source: `TRENDING` once this process read it from Redis, `SNAPSHOT` while it is from disk.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / SNAPSHOT_FILE
        self._saved_at_ms: int | None = None
        self._saved: Snapshot | None = None
        self.snapshot: Snapshot | None = None
        self.source = Source.SNAPSHOT

    def update(self, trending: Trending, catalogue: Mapping[str, Course]) -> None:
        """Takes what Redis holds now; with an empty catalogue, keeps the courses known from earlier."""
        earlier = {} if self.snapshot is None else self.snapshot.courses
        known = catalogue or earlier
        courses = {course_id: known[course_id] for course_id in trending.course_ids if course_id in known}
        self.snapshot = Snapshot(trending, courses)
        self.source = Source.TRENDING

    def load(self) -> None:
        """Takes the snapshot from disk if there is one; one that cannot be read is as good as none."""
        try:
            self.snapshot = self._saved = read_snapshot(self._file)
        except FileNotFoundError:
            return
        except (InputError, OSError) as error:
            _log.warning("trending_snapshot_not_read", error=str(error))

    def save(self, now_ms: int, *, interval_ms: int = SAVE_INTERVAL_MS) -> None:
        """Writes the snapshot if it changed and the last writing is `interval_ms` ago. Blocks; call it in a thread."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.courses or snapshot == self._saved:
            return  # without a catalogue there are no titles: the file, if any, knows more
        if self._saved_at_ms is not None and now_ms - self._saved_at_ms < interval_ms:
            return
        self._saved_at_ms = now_ms
        try:
            write_snapshot(self._file, snapshot)
        except OSError as error:
            _log.warning("trending_snapshot_not_written", file=str(self._file), error=str(error))
            return
        self._saved = snapshot


def write_snapshot(file: Path, snapshot: Snapshot) -> None:
    """Replaces the file in one step; a crash leaves the old one.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(file, _encoder.encode(snapshot))


def read_snapshot(file: Path) -> Snapshot:
    """Reads a snapshot back.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
        InputError: It is no snapshot.
    """
    try:
        return _decoder.decode(file.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected a trending snapshot in {file}, received {error}") from None
