"""How many examples a property test draws: fewer while one works on the code, all of them in `make test` and in CI."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

ALL = os.environ.get("RECSYS_TEST_EXAMPLES") == "all" or os.environ.get("CI") == "true"
SHARE = 1 if ALL else 5
LEAST = 10
DEFAULT = 100
"""What Hypothesis draws where a test names no number."""


def examples(of_all: int) -> int:
    """The number of examples to draw where the whole run draws `of_all`: a fifth, and at least ten."""
    return max(min(LEAST, of_all), of_all // SHARE)


def load_profile() -> None:
    """Sets the number for the tests that name none, and no time limit: the machine may be busy with other tests.

    The whole run draws the same examples each time, so that one commit has one result; fewer are drawn anew, and what
    is found that way becomes a test of its own.
    """
    settings.register_profile(
        "recsys",
        max_examples=examples(DEFAULT),
        derandomize=ALL,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("recsys")
