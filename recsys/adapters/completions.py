"""Completed blocks of a learner in a course run, counted into the four quarters that an event is worth.

Open edX says each completed block. A course of 300 blocks would be 300 events; here it is at most four `progress`
events, or, where nobody said how many blocks a course has, one sign of activity a day.

Quarters need all blocks that a learner ever completed. They are kept in memory (`MemoryPlaces`) for a history that is
read in one run, or in a file (`FilePlaces`) for logs that are read day by day and for the event bus. Either gives the
same block the same answer again, so that what is read twice says the same twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

from recsys.adapters.ids import quarter
from recsys.errors import InputError

_PAIR_BYTES: Final = 12
_BLOCK_BYTES: Final = 8
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS completed"
    " (pair BLOB, block BLOB, place INTEGER, PRIMARY KEY (pair, block)) WITHOUT ROWID"
)
WAIT_S: Final = 5.0


class Places(Protocol):
    """Numbers a learner's completed blocks of a run, from 1, in the order in which they are first asked for."""

    def place(self, user_id: str, run_id: str, block: str) -> int:
        """The number of a block; a new one is given the next."""
        ...


class MemoryPlaces:
    """`Places` that end with the process."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], dict[int, int]] = {}

    def place(self, user_id: str, run_id: str, block: str) -> int:
        """The number of a block; a new one is given the next."""
        places = self._places.setdefault((user_id, run_id), {})
        return places.setdefault(hash(block), len(places) + 1)  # 8 bytes for a key of a hundred


class FilePlaces:
    """`Places` in a SQLite file of digests: no id stands in it. One process at a time.

    What is new is in the file after `save`; call it once the events were acknowledged. Without it the file stays as it
    was, and the next run gives the same blocks the same numbers.

    Args:
        path: The file; made if missing.
        wait_s: How long to wait for another process to let it go.

    Raises:
        InputError: The file cannot be opened, is none of this kind, or is in use by another process.
    """

    def __init__(self, path: Path, wait_s: float = WAIT_S) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._refusal(error) from None
        try:
            self._begin()
            self._connection.execute(_TABLE)
        except sqlite3.Error as error:
            self._connection.close()
            raise self._refusal(error) from None

    def place(self, user_id: str, run_id: str, block: str) -> int:
        """The number of a block; a new one is given the next.

        Raises:
            InputError: The file cannot be read or written any more.
        """
        pair = blake2b(f"{user_id}|{run_id}".encode("utf-8", "replace"), digest_size=_PAIR_BYTES).digest()
        key = blake2b(block.encode("utf-8", "replace"), digest_size=_BLOCK_BYTES).digest()
        try:
            found = self._connection.execute("SELECT place FROM completed WHERE pair = ? AND block = ?", (pair, key))
            row = found.fetchone()
            if row is not None:
                return int(row[0])
            (known,) = self._connection.execute("SELECT COUNT(*) FROM completed WHERE pair = ?", (pair,)).fetchone()
            self._connection.execute("INSERT INTO completed VALUES (?, ?, ?)", (pair, key, known + 1))
        except sqlite3.Error as error:
            raise self._refusal(error) from None
        return int(known) + 1

    def save(self) -> None:
        """Writes what is new.

        Raises:
            InputError: It cannot be written.
        """
        try:
            self._connection.execute("COMMIT")
            self._begin()
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """Lets the file go; what was not saved is forgotten."""
        self._connection.close()

    def _begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")  # nobody else numbers blocks meanwhile

    def _refusal(self, error: Exception) -> InputError:
        return InputError(f"{self._path}: expected a file of completions that can be used, received: {error}")


class Completions:
    """How far learners are in course runs.

    Args:
        blocks: Course run or course → blocks that can be completed in it.
        places: Numbers the completed blocks; None: in memory.
    """

    def __init__(self, blocks: Mapping[str, int], places: Places | None = None) -> None:
        self._blocks = blocks
        self._places = MemoryPlaces() if places is None else places
        self._days: dict[tuple[str, str], int] = {}

    def blocks_of(self, run_id: str, course_id: str) -> int | None:
        """Blocks in a run: its own number, else that of its course, else None."""
        return self._blocks.get(run_id) or self._blocks.get(course_id)

    def reached(self, user_id: str, run_id: str, block: str, *, blocks: int) -> float | None:
        """The share of a run that is completed, if this block is the one that reaches another quarter; else None.

        Args:
            user_id: The learner.
            run_id: The run.
            block: The completed block.
            blocks: In the run, at least 1.

        Raises:
            InputError: The file of completions cannot be used any more.
        """
        place = self._places.place(user_id, run_id, block)
        share = min(1.0, place / blocks)
        return share if quarter(share) > quarter((place - 1) / blocks) else None

    def is_first_of_day(self, user_id: str, run_id: str, utc_day: int) -> bool:
        """Whether this is another day than the last one asked for; then it is the last one."""
        if self._days.get((user_id, run_id)) == utc_day:
            return False
        self._days[user_id, run_id] = utc_day
        return True
