"""What `recsys retrain` says to options that do not go together, before it reads or imports anything."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from batch.commands import retrain
from recsys.errors import ConfigurationError


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ([], "neither"),
        (["--interactions", "i.csv"], "--interactions"),
        (["--from-topic", "--interactions", "i.csv"], "--from-topic and --interactions"),
    ],
)
def test_a_history_from_two_places_or_none_is_refused(options: list[str], received: str) -> None:
    result = CliRunner().invoke(retrain, options)

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).endswith(f"received {received}")
