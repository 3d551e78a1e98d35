"""Why Kafka cannot be used, in one line that names the setting to change: asked with sockets of its own.

Each step looks at what a client would meet next: a listener (`recsys.kafka.listener`), then the addresses that the
brokers advertise to their clients. `reach` is the form for commands and workers at their start.
"""

from __future__ import annotations

import ssl

from recsys.kafka.findings import CONCLUDED, Finding, Found, Problem
from recsys.kafka.listener import as_client, connected, ended
from recsys.kafka.tls import ssl_context
from recsys.kafka.wire import NotKafka
from recsys.settings.kafka import KafkaSettings

TIMES = 3
"""What is concluded from how a connection ends has to be met so often: a network that cuts one off looks the same."""

TIMEOUT_S = 3.0
"""For a connection, and for each answer on it."""


def reach(settings: KafkaSettings) -> str:
    """The first of the bootstrap servers that answers, if clients can use Kafka: others may be silent.

    Raises:
        ServiceUnavailable: No broker answers, or none at the address that it advertises.
        ListenerMismatch: The security settings do not fit the listener, by how its connections end.
        UntrustedCertificate: The broker's certificate is not trusted.
        ConfigurationError: The listener refuses the login or knows another kind.
    """
    server, findings = _first_answer(settings, TIMEOUT_S)
    for finding in findings:
        if finding.fatal:
            raise finding.error()
    return server


def diagnose(settings: KafkaSettings, timeout_s: float = TIMEOUT_S) -> list[Finding]:
    """What is wrong, first the fatal; empty if nothing is.

    Args:
        settings: Of Kafka.
        timeout_s: For each connection, and for each answer on it.

    Raises:
        ConfigurationError: A file of the TLS settings cannot be used.
    """
    return _first_answer(settings, timeout_s)[1]


def _first_answer(settings: KafkaSettings, timeout_s: float) -> tuple[str, list[Finding]]:
    """The bootstrap server that answered, and what is wrong; an empty name, and why, where none did."""
    context = ssl_context(settings) if settings.kafka_uses_tls else None
    findings: list[Finding] = []
    for server in settings.kafka_servers:
        answered, found = _answer_of(settings, server, context, timeout_s)
        if answered:
            return server, found
        findings += found
    findings.sort(key=lambda finding: finding.problem is Problem.UNREACHABLE)  # what was met says more
    if all(finding.problem is Problem.UNREACHABLE for finding in findings):
        addresses = "; ".join(finding.message for finding in findings)
        findings = [Finding(Problem.UNREACHABLE, f"Kafka cannot be reached: {addresses} (KAFKA_BOOTSTRAP_SERVERS)")]
    return "", findings


def _answer_of(
    settings: KafkaSettings, server: str, context: ssl.SSLContext | None, timeout_s: float
) -> tuple[bool, list[Finding]]:
    """Whether a server answered, and what is wrong; asked again where that is concluded from how a connection ended."""
    found: list[Finding] = []
    for _ in range(TIMES):
        try:
            with as_client(settings, server, context, timeout_s) as wire:
                return True, _advertised(server, wire.brokers(), timeout_s)
        except Found as met:
            found = [met.finding]
        except NotKafka:
            found = [ended(settings, server)]
        except TimeoutError:
            found = [Finding(Problem.SILENT, f"Kafka at {server} took a connection and does not answer")]
        if found[0].problem not in CONCLUDED:
            break
    return False, found


def _advertised(server: str, brokers: list[tuple[str, int]], timeout_s: float) -> list[Finding]:
    silent = [said for host, port in brokers if (said := _unreachable(f"{host}:{port}", timeout_s))]
    if not silent:
        return []
    message = (
        f"Kafka at {server} tells its clients to connect to an address that cannot be reached from here: "
        f"{'; '.join(silent)} (advertised.listeners of the broker must name an address that clients reach)"
    )
    return [Finding(Problem.ADVERTISED, message, fatal=len(silent) == len(brokers))]


def _unreachable(server: str, timeout_s: float) -> str | None:
    """The address and why nobody takes a connection there; None where somebody does."""
    try:
        connected(server, timeout_s).close()
    except Found as met:
        return str(met)
    return None
