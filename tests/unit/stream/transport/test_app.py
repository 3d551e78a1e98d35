"""The Faust app as it is configured."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from recsys.errors import ServiceUnavailable
from recsys.settings import Settings
from stream.transport.app import create_app, start_app


async def deliver(_: Any) -> None:
    """Nothing is delivered here."""


@pytest.mark.parametrize("seconds", [6.0, 15.0, 30.0])
def test_the_session_time_out_is_a_setting_with_several_heartbeats_in_it_and_below_the_request_time_out(
    seconds: float,
) -> None:
    conf = create_app(Settings(worker_session_timeout_seconds=seconds), None, deliver).conf
    assert conf.broker_session_timeout == seconds
    assert conf.broker_heartbeat_interval <= seconds / 3
    assert conf.broker_request_timeout >= seconds


class Unreachable:
    """An app whose broker goes away as it starts."""

    async def start(self) -> None:
        raise KafkaConnectionError("Unable to bootstrap from [('127.0.0.1', 1)]")


async def test_a_broker_that_goes_away_as_the_app_starts_is_a_service_that_is_away() -> None:
    with pytest.raises(ServiceUnavailable, match=r"Kafka cannot be reached: .*Unable to bootstrap"):
        await start_app(cast("Any", Unreachable()))
