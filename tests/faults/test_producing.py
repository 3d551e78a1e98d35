"""The load's own books: what the broker took is acknowledged, and a load that breaks says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.faults.load import Load
from tests.faults.producing import LoadProducer

NOBODY = "127.0.0.1:1"


def load() -> LoadProducer:
    return LoadProducer(NOBODY, "t", Load(0, 2, 100.0, 1_700_000_000_000), at_least=0)


def message(partition: int, offset: int | None) -> Any:
    return cast("Any", SimpleNamespace(partition=lambda: partition, offset=lambda: offset))


def test_an_acknowledgement_of_a_retry_that_the_broker_had_already_taken_has_no_offset() -> None:
    producer = load()
    for offset in (4, None, 3):
        producer._delivered(None, message(1, offset))
    assert (producer.acknowledged, producer.log_ends, producer.failed) == (3, {1: 5}, [])


def test_a_load_that_breaks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Load) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr(Load, "records", broken)
    producer = load()
    producer.start()
    with pytest.raises(RuntimeError, match="broken"):
        producer.finish()
