"""The fault suite's short selection: a few kills, a small load, on one Kafka. `make faults` runs all.

The outages are in `test_short_outages`: the tests of a file run one after the other, those of two files side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.devtools.kafka_jars import missing_programs

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(420),
    pytest.mark.skipif(bool(missing_programs()), reason="no Java for a Kafka that can be killed"),
]


@pytest.mark.parametrize("name", ["T1", "T4", "T11", "T12"])
def test_nothing_is_lost_or_counted_twice(check_case: Callable[[str], None], name: str) -> None:
    check_case(name)
