"""Replay decides which dead letters go back to the interactions topic, and counts what it leaves out. Pure functions.

Key, value and the record's own headers go back unchanged; an event that was applied meanwhile changes nothing, however
often it is replayed. What the stream added on why it was refused is taken off; `dlq.replay_count` goes with the record,
raised by one, and is on the next letter should it be refused again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType

from infra.operator.dead_letter_learners import is_erased
from recsys.dead_letters import DeadLetter, replayed
from recsys.kafka.bulk_producer import Record

_DIGEST_BYTES = 16


class Left(StrEnum):
    """Why a selected letter is left alone."""

    REPLAYED_OFTEN = "replayed_often"
    """It was replayed as often as is allowed, and refused every time."""
    REFUSED_AGAIN = "refused_again"
    """It was replayed before and refused again: a newer letter stands for it."""
    INCOMPLETE = "incomplete"
    """It was too large to be kept whole."""
    NOTHING = "nothing"
    """It has neither key nor value."""
    ERASED = "of_an_erased_learner"
    """Its learner was erased since: it would change nothing, and be kept for a retention more."""


class Attempts:
    """The highest replay count of each record that was refused again; of all others none is remembered."""

    def __init__(self, letters: Iterable[DeadLetter]) -> None:
        self._highest: dict[bytes, int] = {}
        for letter in letters:
            if letter.replay_count:
                identity = _identity(letter)
                self._highest[identity] = max(letter.replay_count, self._highest.get(identity, 0))

    def newer_than(self, letter: DeadLetter) -> bool:
        """Whether the same record was replayed after this letter and refused again."""
        return bool(self._highest) and self._highest.get(_identity(letter), 0) > letter.replay_count


def _identity(letter: DeadLetter) -> bytes:
    """What stays the same of a record however often it is refused."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    headers = ((name.encode(), value) for name, value in letter.headers if value is not None)
    for part in (letter.key, letter.value, *(part for header in headers for part in header)):
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return digest.digest()


def why_left(letter: DeadLetter, attempts: Attempts, max_replays: int, erased: Mapping[str, int]) -> Left | None:
    """Why a letter is left alone; None if it is to be replayed.

    Args:
        letter: A selected letter.
        attempts: Of all letters.
        max_replays: A letter replayed this often is left alone.
        erased: Learner → the time of the latest erasure, ms since 1970 UTC.
    """
    if letter.incomplete:
        return Left.INCOMPLETE
    if letter.key is None and letter.value is None:
        return Left.NOTHING
    if is_erased(letter, erased):
        return Left.ERASED
    if attempts.newer_than(letter):
        return Left.REFUSED_AGAIN
    return Left.REPLAYED_OFTEN if letter.replay_count >= max_replays else None


def _record(letter: DeadLetter) -> Record:
    """What is sent back; headers without a value stay out, which no reader of events can tell apart."""
    key, value, headers = replayed(letter)
    return Record(key, value, tuple((name, content) for name, content in headers if content is not None))


@dataclass(slots=True)
class Account:
    """What a replay did, or would do.

    Attributes:
        replayed: Reason → letters replayed.
        left: Why → selected letters left alone.
    """

    replayed: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    def records(
        self,
        letters: Iterable[DeadLetter],
        attempts: Attempts,
        max_replays: int,
        erased: Mapping[str, int] = MappingProxyType({}),
    ) -> Iterator[Record]:
        """The records to send back, counting each letter as it passes (arguments as `why_left`)."""
        for letter in letters:
            why = why_left(letter, attempts, max_replays, erased)
            if why is None:
                self.replayed[letter.reason] = self.replayed.get(letter.reason, 0) + 1
                yield _record(letter)
            else:
                self.left[why] = self.left.get(why, 0) + 1

    @property
    def total(self) -> int:
        """Letters replayed, of all reasons."""
        return sum(self.replayed.values())
