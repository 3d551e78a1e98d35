"""Times on the command line."""

from __future__ import annotations

import pytest

from recsys.errors import ConfigurationError
from recsys.times import parse_time, shown_time


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("-5", -5),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-15T00:13:20.250+02:00", 1_700_000_000_250),
    ],
)
def test_both_forms_are_understood(text: str, at_ms: int) -> None:
    assert parse_time(text, "--at") == at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2023-11-14T22:13:20", "2023-11-14", "--5", "²", "1e3"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected --since as epoch ms or RFC 3339 with a zone, received"):
        parse_time(text, "--since")


def test_a_time_is_shown_as_it_may_be_typed() -> None:
    assert parse_time(shown_time(1_700_000_000_250), "--at") == 1_700_000_000_250
    assert shown_time(10**18) == str(10**18)
