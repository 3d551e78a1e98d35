"""Times as an operator types them: epoch milliseconds, or RFC 3339 with a zone."""

from __future__ import annotations

from datetime import UTC, datetime

from recsys.errors import ConfigurationError


def parse_time(text: str, option: str) -> int:
    """The instant in ms since 1970 UTC.

    Args:
        text: A whole number of milliseconds since 1970 UTC, or an RFC 3339 time with a zone.
        option: Whose value it is, for the message.

    Raises:
        ConfigurationError: It is neither.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ConfigurationError(f"expected {option} as epoch ms or RFC 3339 with a zone, received {text!r}")
    return round(at.timestamp() * 1000)


def shown_time(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; the number itself where no calendar has it."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(at_ms)
