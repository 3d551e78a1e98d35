"""The outages of the fault suite's short selection: Kafka away, Redis away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.devtools.kafka_jars import missing_programs

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(420),
    pytest.mark.skipif(bool(missing_programs()), reason="no Java for a Kafka that can be killed"),
]


@pytest.mark.parametrize("name", ["T5", "T6"])
def test_nothing_is_lost_or_counted_twice(check_case: Callable[[str], None], name: str) -> None:
    check_case(name)
