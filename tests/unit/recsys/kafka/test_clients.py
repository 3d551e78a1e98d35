"""What each client library is given to connect."""

from __future__ import annotations

from recsys.kafka.clients import kafka_python_options
from recsys.settings import load_settings


def test_kafka_python_begins_at_the_server_that_answered_and_else_knows_them_all() -> None:
    settings = load_settings().model_copy(update={"kafka_bootstrap_servers": "first:9092,second:9093"})
    assert kafka_python_options(settings)["bootstrap_servers"] == ["first:9092", "second:9093"]
    assert kafka_python_options(settings, "second:9093")["bootstrap_servers"] == ["second:9093"]
