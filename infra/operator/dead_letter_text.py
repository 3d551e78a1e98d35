"""Dead letters are printed as text in which everything a terminal would obey is escaped. Pure functions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from recsys import dead_letters
from recsys.dead_letters import DeadLetter
from recsys.times import shown_time

SHOWN_BYTES = 4_000
SHOWN_DETAIL = 100


def by_reason(counts: Mapping[str, int], what: str) -> str:
    """How many letters, in all and of each reason, on one line."""
    parts = ", ".join(f"{reason or 'no reason'} {count}" for reason, count in sorted(counts.items()))
    return f"{sum(counts.values())} {what}" + (f": {parts}" if parts else "")


def line(letter: DeadLetter) -> str:
    """A letter on one line."""
    detail = escaped(letter.errors.get(dead_letters.ERROR_MESSAGE, ""))
    return (
        f"{letter.partition}/{letter.offset} {shown_time(letter.appended_ms)} {escaped(letter.reason) or '-'} "
        f"replays={letter.replay_count} key={shown(letter.key, 40)} {detail[:SHOWN_DETAIL]}"
    )


def summary(letter: DeadLetter) -> dict[str, Any]:
    """What `list` says of a letter, for JSON."""
    errors = letter.errors
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "appended_ms": letter.appended_ms,
        "reason": letter.reason,
        "stage": errors.get(dead_letters.STAGE, ""),
        "detail": errors.get(dead_letters.ERROR_MESSAGE, ""),
        "replay_count": letter.replay_count,
        "topic": errors.get(dead_letters.ERROR_TOPIC, ""),
        "origin_partition": errors.get(dead_letters.ERROR_PARTITION, ""),
        "origin_offset": errors.get(dead_letters.ERROR_OFFSET, ""),
        "value_bytes": None if letter.value is None else len(letter.value),
        **bytes_of("key", letter.key),
    }


def bytes_of(name: str, value: bytes | None) -> dict[str, str | None]:
    """As text where it is UTF-8, else `<name>_base64`."""
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def shown(value: bytes | None, limit: int = SHOWN_BYTES) -> str:
    """The first bytes as one line of text."""
    if value is None:
        return "null"
    rest = f"… {len(value) - limit} bytes more" if len(value) > limit else ""
    return escaped(value[:limit].decode("utf-8", "backslashreplace")) + rest


def escaped(text: str) -> str:
    """The text with everything that is no printable character as an escape, safe for a terminal and one line long."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
