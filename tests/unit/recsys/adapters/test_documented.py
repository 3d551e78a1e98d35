"""docs/platforms.md names every event that counts, and what it becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.adapters.openedx_bus import MEANINGS, ROLE_ADDED, ROLE_REMOVED, TRACKING
from recsys.adapters.openedx_tracking import ABOUT_PAGE, NAVIGATION, RULES

PAGE = Path("docs/platforms.md").read_text()


def rows(heading: str) -> Iterator[tuple[set[str], set[str]]]:
    """The words in code of the first two columns of each row of the section's tables."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for line in section.splitlines():
        cells = line.split("|")
        if len(cells) > 3:
            yield set(re.findall(r"`([^`]+)`", cells[1])), set(re.findall(r"`([^`]+)`", cells[2]))


@pytest.mark.parametrize("name", sorted(RULES.keys() - {ABOUT_PAGE}))
def test_a_tracking_event_is_in_the_table_with_what_it_becomes(name: str) -> None:
    assert [kinds for names, kinds in rows("Open edX tracking logs") if name in names and RULES[name].kind in kinds]


def test_no_tracking_event_is_in_the_table_that_is_none() -> None:
    told = {name for names, _ in rows("Open edX tracking logs") for name in names if name.startswith("edx.")}
    assert told <= RULES.keys() | NAVIGATION


@pytest.mark.parametrize("event_type", sorted({*MEANINGS, ROLE_ADDED, ROLE_REMOVED, TRACKING}))
def test_an_event_of_the_bus_is_in_the_table(event_type: str) -> None:
    told = {name for names, _ in rows("Open edX event bus") for name in names}
    assert event_type in told or event_type.removeprefix("org.openedx.learning.") in told
