"""Whose bytes a dead letter has, as far as its bytes say. Pure functions: a refused record need not be an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from recsys.dead_letters import DeadLetter


class _Named(msgspec.Struct):
    """What of a JSON object names a learner and a time."""

    user_id: object = None
    timestamp: object = None


def learners_of(letter: DeadLetter) -> set[str]:
    """The ids that stand where a learner's stands: in the key, in the value, in CloudEvents' header."""
    named = _named(letter).user_id
    headers = [content for name, content in letter.headers if name == "ce_userid"]
    texts = [each.decode("utf-8", "replace") for each in (letter.key, *headers) if each]
    return {*texts, *([named] if isinstance(named, str) else [])}


def noting_learners(letters: Iterable[DeadLetter], learners: set[str]) -> Iterator[DeadLetter]:
    """The letters as they pass; the learners that they name are added to the set."""
    for letter in letters:
        learners |= learners_of(letter)
        yield letter


def is_erased(letter: DeadLetter, erased: Mapping[str, int]) -> bool:
    """Whether the letter is from before its learner was erased.

    Args:
        letter: A letter.
        erased: Learner → the time of the latest erasure, ms since 1970 UTC.
    """
    times = [erased[learner] for learner in learners_of(letter) if learner in erased] if erased else []
    if not times:
        return False
    at_ms = _named(letter).timestamp
    return letter.appended_ms <= max(times) or (isinstance(at_ms, int) and at_ms <= max(times))


def _named(letter: DeadLetter) -> _Named:
    try:
        return msgspec.json.decode(letter.value or b"", type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return _Named()
