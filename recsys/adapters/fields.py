"""Fields of what platforms send, read without trusting any of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from recsys.adapters.outcomes import Refused
from recsys.errors import RefusalReason
from recsys.nesting import nests_deeper


def json_object(content: bytes) -> dict[str, Any] | Refused:
    """A JSON object; bytes that are no UTF-8 are replaced, for they stand in what is dropped. Never quotes them."""
    if nests_deeper(content):
        return Refused(RefusalReason.TOO_DEEP, "expected JSON nested at most 32 deep, received deeper")
    for text in (content, content.decode("utf-8", "replace").encode()):
        try:
            found = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
        break
    return Refused(RefusalReason.NOT_JSON, f"expected a JSON object, received {len(content)} bytes that are none")


def object_in(value: object) -> Mapping[str, Any]:
    """An object, or a string that holds one, as browsers and Open edX's event bus send it; else an empty one."""
    if isinstance(value, str):
        found = json_object(value.encode("utf-8", "replace"))
        return {} if isinstance(found, Refused) else found
    return value if isinstance(value, Mapping) else {}


def utc_ms(value: object) -> int | None:
    """An ISO 8601 time as ms since 1970 UTC, rounded down; one without a zone is UTC. None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip())
        return math.floor((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def is_blank(value: object) -> bool:
    """Whether a field is absent, null or a string without a character."""
    return value is None or (isinstance(value, str) and not value.strip())


def number(value: object, highest: float) -> float | None:
    """A number from 0 to `highest`; None for everything else, a number written as text among it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= highest else None
