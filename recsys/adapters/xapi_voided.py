"""xAPI `voided`: the statements that passed, kept so that one of them can be taken back (docs/decisions).

Only what entered or left a state is kept. A view or a play has no opposite, and a day on which a learner opened a
course stays one when one of its statements is voided.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, Self

import msgspec

from recsys.errors import InputError
from recsys.events import Interaction, encode
from recsys.vocabulary import REGISTERS, VOCABULARY, Kind

_OPPOSITES: Final[Mapping[str, str]] = MappingProxyType(
    {row.state: name for name, row in VOCABULARY.items() if row.kind is Kind.OPPOSITE and row.state is not None}
)
_NOT_RESTORED: Final = "unrate"
"""To take it back, the mark that it took away would have to be known."""

FILE_CAPACITY: Final = 2_000_000
"""Statements that an index on disk keeps, the newest; about 0.9 GB."""

PROCESS_CAPACITY: Final = 100_000
"""Statements that an index in a process keeps, the newest; about 65 MB."""

_COMMIT_EVERY: Final = 1_000


class StatementIndex(Protocol):
    """Statement id → the event that it became, of the newest statements that passed."""

    def remember(self, statement_id: str, event: Interaction) -> None:
        """Keeps a statement that passed, if it can be taken back; one that is there already is replaced."""
        ...

    def find(self, statement_id: str) -> Interaction | None:
        """The event of a statement; None where it is not kept."""
        ...


def taken_back(event: Interaction) -> Interaction | None:
    """The event that takes another back, None where nothing does.

    For what entered a state it is the opposite at the same instant, which wins over it and over nothing later: a
    learner who enrolled again meanwhile stays enrolled. For what left a state it is the state, 1 ms later.
    """
    row = VOCABULARY[event.type]
    event_id = f"{event.event_id[:240]}#voided"
    if event.type in REGISTERS and row.state is not None:
        return msgspec.structs.replace(event, event_id=event_id, type=_OPPOSITES[row.state], value=None)
    if row.kind is Kind.OPPOSITE and event.type != _NOT_RESTORED:
        return msgspec.structs.replace(
            event, event_id=event_id, type=row.state, timestamp=event.timestamp + 1, value=None
        )
    return None


def _can_be_taken_back(event: Interaction) -> bool:
    return event.type in REGISTERS or VOCABULARY[event.type].kind is Kind.OPPOSITE


class ProcessIndex:
    """`StatementIndex` in memory: for the HTTP API, gone with the process.

    Args:
        capacity: Statements kept; the oldest go first.
    """

    def __init__(self, capacity: int = PROCESS_CAPACITY) -> None:
        self._capacity = capacity
        self._events: OrderedDict[str, Interaction] = OrderedDict()

    def __len__(self) -> int:
        return len(self._events)

    def remember(self, statement_id: str, event: Interaction) -> None:
        """Keeps a statement that passed, if it can be taken back."""
        if _can_be_taken_back(event):
            self._events[statement_id] = event
            self._events.move_to_end(statement_id)
            if len(self._events) > self._capacity:
                self._events.popitem(last=False)

    def find(self, statement_id: str) -> Interaction | None:
        """The event of a statement; None where it is not kept."""
        return self._events.get(statement_id)


class Pending:
    """`StatementIndex` over another: what is remembered reaches the other only by `pass_on`, after it was accepted.

    Args:
        behind: Where statements are found that this one does not have.
    """

    def __init__(self, behind: StatementIndex) -> None:
        self._behind = behind
        self._events: dict[str, Interaction] = {}

    def remember(self, statement_id: str, event: Interaction) -> None:
        """Keeps a statement here."""
        self._events[statement_id] = event

    def find(self, statement_id: str) -> Interaction | None:
        """The event of a statement, from here or from behind."""
        return self._events.get(statement_id) or self._behind.find(statement_id)

    def pass_on(self) -> None:
        """What was remembered here was accepted."""
        for statement_id, event in self._events.items():
            self._behind.remember(statement_id, event)


class FileIndex:
    """`StatementIndex` in a SQLite file, for `recsys ingest xapi`: today's file may void yesterday's statement.

    The file holds learners' ids and is readable by its owner only. It is not needed again once no statement in it
    will be voided: deleting it costs nothing else.

    Args:
        path: The file; made if missing.
        capacity: Statements kept; the oldest go first.

    Raises:
        InputError: The file cannot be opened or is no such index.
    """

    def __init__(self, path: Path, capacity: int = FILE_CAPACITY) -> None:
        self._path, self._capacity, self._since_commit = path, capacity, 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS statements (place INTEGER PRIMARY KEY, id TEXT UNIQUE, event BLOB)"
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        with closing(self._database.execute("SELECT COUNT(*) FROM statements")) as counted:
            return int(counted.fetchone()[0])

    def remember(self, statement_id: str, event: Interaction) -> None:
        """Keeps a statement that passed, if it can be taken back.

        Raises:
            InputError: The disk is full or the file was damaged.
        """
        if not _can_be_taken_back(event):
            return
        try:
            self._database.execute(
                "INSERT OR REPLACE INTO statements (id, event) VALUES (?, ?)", (statement_id, encode(event))
            )
            self._since_commit += 1
            if self._since_commit >= _COMMIT_EVERY:
                self._commit()
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def find(self, statement_id: str) -> Interaction | None:
        """The event of a statement; None where it is not kept.

        Raises:
            InputError: The file was damaged.
        """
        try:
            with closing(self._database.execute("SELECT event FROM statements WHERE id = ?", (statement_id,))) as found:
                row = found.fetchone()
            return None if row is None else _decoder.decode(row[0])
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise self._unusable(error) from None

    def close(self) -> None:
        """Writes what is not written yet, and ends."""
        try:
            self._commit()
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        finally:
            self._database.close()

    def _commit(self) -> None:
        self._database.execute(
            "DELETE FROM statements WHERE place <= (SELECT MAX(place) FROM statements) - ?", (self._capacity,)
        )
        self._database.commit()
        self._since_commit = 0

    def _unusable(self, error: Exception) -> InputError:
        return InputError(
            f"{self._path}: expected an index of xAPI statements that can be written, received {error}; "
            "name another file with --index, or delete it: only statements of it can then not be voided"
        )


_decoder = msgspec.json.Decoder(Interaction)
