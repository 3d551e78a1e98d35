"""What is said of a Kafka that cannot be used, on real sockets; TLS and logins are an integration test's."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.processes import free_port
from recsys.errors import ConfigurationError, ListenerMismatch, ServiceUnavailable
from recsys.kafka.diagnosis import diagnose, reach
from recsys.kafka.findings import Finding, Problem
from recsys.settings import Settings
from tests.doubles.listeners import advertising, closing, listening, silent, speaking_http


def at(servers: str, **more: Any) -> Settings:
    return Settings(kafka_bootstrap_servers=servers, **more)


def test_a_kafka_that_can_be_used_is_not_found_fault_with(embedded_kafka: EmbeddedKafka) -> None:
    assert diagnose(at(embedded_kafka.bootstrap_servers)) == []
    there = embedded_kafka.bootstrap_servers
    assert reach(at(f"127.0.0.1:{free_port()},{there}")) == there  # one address of several is enough


def test_nobody_at_any_address_names_them_all() -> None:
    first, second = free_port(), free_port()
    (finding,) = diagnose(at(f"127.0.0.1:{first}, 127.0.0.1:{second},nowhere.invalid:9092"))
    assert finding.problem is Problem.UNREACHABLE
    assert finding.message == (
        f"Kafka cannot be reached: 127.0.0.1:{first}: connection refused; 127.0.0.1:{second}: connection refused; "
        "nowhere.invalid:9092: no such host name (KAFKA_BOOTSTRAP_SERVERS)"
    )
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        reach(at(f"127.0.0.1:{first}"))


def test_an_advertised_address_that_cannot_be_reached_is_named() -> None:
    port = free_port()
    with listening(advertising(("127.0.0.1", port), ("kafka.internal.invalid", 9092))) as server:
        with pytest.raises(ServiceUnavailable) as raised:
            reach(at(server))
        assert f"127.0.0.1:{port}: connection refused; kafka.internal.invalid:9092: no such host name" in str(
            raised.value
        )
        assert "advertised.listeners" in str(raised.value)
        assert server in str(raised.value)


def test_a_connection_that_ends_once_or_twice_is_the_network_and_no_wrong_setting() -> None:
    """Seen in `make faults` T10: a reset on the way to Kafka ended a running worker with "it wants a login"."""
    with listening(silent) as there:
        host, _, port = there.rpartition(":")
        with listening(advertising((host, int(port)), cuts_off=2)) as server:
            assert reach(at(server)) == server
        with (
            listening(advertising((host, int(port)), cuts_off=9)) as server,
            pytest.raises(ListenerMismatch, match="it wants a login"),
        ):
            reach(at(server))


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (Problem.LOGIN_NEEDED, ListenerMismatch),
        (Problem.LOGIN_REFUSED, ConfigurationError),
        (Problem.MECHANISM, ConfigurationError),
        (Problem.SILENT, ServiceUnavailable),
    ],
)
def test_what_a_broker_says_itself_is_no_conclusion(problem: Problem, kind: type[Exception]) -> None:
    assert type(Finding(problem, "").error()) is kind


def test_only_a_server_of_which_something_is_concluded_is_asked_again() -> None:
    asked: list[str] = []

    def quiet(connection: socket.socket) -> None:
        asked.append("quiet")
        silent(connection)

    with listening(quiet) as first, listening(advertising(cuts_off=9)) as second:
        findings = diagnose(at(f"{first},{second}"), timeout_s=0.2)
    assert [finding.problem for finding in findings] == [Problem.SILENT, Problem.LOGIN_NEEDED]
    assert len(asked) <= 2  # a silent one is asked once more whether it speaks TLS


def test_one_broker_of_several_that_is_away_keeps_nobody_from_working() -> None:
    with listening(silent) as there:
        host, _, port = there.rpartition(":")
        with listening(advertising((host, int(port)), ("127.0.0.1", free_port()))) as server:
            (finding,) = diagnose(at(server))
            assert (finding.problem, finding.fatal) == (Problem.ADVERTISED, False)
            reach(at(server))


@pytest.mark.parametrize("serve", [closing, speaking_http])
def test_what_is_no_kafka_is_told_so(serve: object) -> None:
    with listening(serve) as server:  # type: ignore[arg-type]
        (finding,) = diagnose(at(server))
        assert finding.problem is Problem.SILENT
        assert "it may be no Kafka" in finding.message


def test_a_kafka_that_takes_connections_and_says_nothing_is_told_so() -> None:
    with listening(silent) as server:
        (finding,) = diagnose(at(server), timeout_s=0.2)
        assert finding.problem is Problem.SILENT
        assert "does not answer" in finding.message


def test_plain_text_met_by_tls(embedded_kafka: EmbeddedKafka) -> None:
    settings = at(embedded_kafka.bootstrap_servers, kafka_security_protocol="SSL")
    with pytest.raises(
        ConfigurationError, match=r"speaks plain text and was spoken to in TLS: set .*_PROTOCOL to PLAINTEXT"
    ):
        reach(settings)


def test_a_listener_without_a_login(embedded_kafka: EmbeddedKafka) -> None:
    login = {"kafka_sasl_username": "u", "kafka_sasl_password": "hunter2-s3cret"}
    settings = at(embedded_kafka.bootstrap_servers, kafka_security_protocol="SASL_PLAINTEXT", **login)
    with pytest.raises(ConfigurationError, match="its listener may know none") as raised:
        reach(settings)
    assert "hunter2" not in str(raised.value)
