"""The Faust app as it is configured."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.settings import Settings
from stream.transport.app import create_app


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
