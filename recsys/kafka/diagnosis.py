"""Why Kafka cannot be used, in one line that names the setting to change: asked with sockets of its own.

Each step looks at what a client would meet next: the address, TLS, the kind of listener, the login, and the addresses
that the brokers advertise to their clients. `reach` is the form for commands and workers at their start.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from recsys.errors import ConfigurationError, ListenerMismatch, RecsysError, ServiceUnavailable
from recsys.kafka.tls import ssl_context
from recsys.kafka.wire import LoginRefused, NotKafka, Wire
from recsys.settings.kafka import KafkaSettings

TIMES = 3
"""What is concluded from how a connection ends has to be met so often: a network that cuts one off looks the same."""

TIMEOUT_S = 3.0
"""For a connection, and for each answer on it."""


class Problem(StrEnum):
    """What keeps clients from using Kafka; the closed list of `Finding.problem`."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"
    CERTIFICATE = "certificate"
    NO_TLS = "no_tls"
    TLS_NEEDED = "tls_needed"
    NO_LOGIN = "no_login"
    LOGIN_NEEDED = "login_needed"
    MECHANISM = "mechanism"
    LOGIN_REFUSED = "login_refused"
    ADVERTISED = "advertised"


_OF_A_SETTING = frozenset(Problem) - {Problem.UNREACHABLE, Problem.SILENT, Problem.ADVERTISED}
_CONCLUDED = _OF_A_SETTING - {Problem.MECHANISM, Problem.LOGIN_REFUSED}
"""A broker says the two others itself, and counts a login that it refuses."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        problem: Which.
        message: What happened and what to do, on one line without any secret.
        fatal: Whether no client can work; an advertised address may be that of one broker of several.
    """

    problem: Problem
    message: str
    fatal: bool = True

    def error(self) -> RecsysError:
        """The error that a command ends with."""
        if self.problem in _CONCLUDED:
            return ListenerMismatch(self.message)
        return (ConfigurationError if self.problem in _OF_A_SETTING else ServiceUnavailable)(self.message)


class _Found(Exception):
    """A finding on the way to `diagnose`."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(problem, message)


def reach(settings: KafkaSettings) -> str:
    """The first of the bootstrap servers that answers, if clients can use Kafka: others may be silent.

    Raises:
        ServiceUnavailable: No broker answers, or none at the address that it advertises.
        ListenerMismatch: The security settings do not fit the listener.
        ConfigurationError: It refuses the login.
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
            with _listener(settings, server, context, timeout_s) as wire:
                return True, _advertised(server, wire.brokers(), timeout_s)
        except _Found as met:
            found = [met.finding]
        except NotKafka:
            found = [_closed(settings, server)]
        except TimeoutError:
            found = [Finding(Problem.SILENT, f"Kafka at {server} took a connection and does not answer")]
        if found[0].problem not in _CONCLUDED:
            break
    return False, found


def _advertised(server: str, brokers: list[tuple[str, int]], timeout_s: float) -> list[Finding]:
    silent = [f"{host}:{port}: {why}" for host, port in brokers if (why := _refusal(host, port, timeout_s))]
    if not silent:
        return []
    message = (
        f"Kafka at {server} tells its clients to connect to an address that cannot be reached from here: "
        f"{'; '.join(silent)} (advertised.listeners of the broker must name an address that clients reach)"
    )
    return [Finding(Problem.ADVERTISED, message, fatal=len(silent) == len(brokers))]


def _refusal(host: str, port: int, timeout_s: float) -> str | None:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except (OSError, UnicodeError) as error:
        return _reason(error)
    return None


@contextmanager
def _listener(settings: KafkaSettings, server: str, context: ssl.SSLContext | None, timeout_s: float) -> Iterator[Wire]:
    """A connection that is as far as a client's when it asks for the brokers."""
    with _connected(server, timeout_s) as connection:
        if context is None:
            wire = Wire(connection)
            _expect_plain(wire, server, timeout_s)
            yield _logged_in(settings, server, wire)
            return
        with _encrypted(settings, connection, server, context) as encrypted:
            wire = Wire(encrypted)
            try:
                wire.api_versions()
            except (ssl.SSLError, NotKafka):
                # TLS 1.3 refuses a client's certificate only after the client's part of the handshake
                raise _Found(
                    Problem.CERTIFICATE,
                    f"Kafka at {server} ended the TLS connection: it may ask for a client certificate that it trusts "
                    "(RECSYS_KAFKA_SSL_CERT_FILE, RECSYS_KAFKA_SSL_KEY_FILE)",
                ) from None
            yield _logged_in(settings, server, wire)


def _connected(server: str, timeout_s: float) -> socket.socket:
    host, _, port = server.rpartition(":")
    try:
        return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)
    except (OSError, UnicodeError) as error:
        raise _Found(Problem.UNREACHABLE, f"{server}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "no such host name"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)).lower()


def _expect_plain(wire: Wire, server: str, timeout_s: float) -> None:
    try:
        wire.api_versions()
    except (NotKafka, TimeoutError) as error:
        if (isinstance(error, NotKafka) and error.tls) or _speaks_tls(server, timeout_s):
            raise _Found(
                Problem.TLS_NEEDED,
                f"Kafka at {server} speaks TLS and was spoken to in plain text: set RECSYS_KAFKA_SECURITY_PROTOCOL to "
                "SSL, or to SASL_SSL where it wants a login",
            ) from None
        if isinstance(error, TimeoutError):
            raise
        raise _Found(
            Problem.SILENT, f"what listens at {server} closed the connection without an answer: it may be no Kafka"
        ) from None


def _encrypted(
    settings: KafkaSettings, connection: socket.socket, server: str, context: ssl.SSLContext
) -> ssl.SSLSocket:
    host = server.rpartition(":")[0].strip("[]")
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _Found(
            Problem.CERTIFICATE,
            f"the certificate of Kafka at {server} is not trusted: {error.verify_message.rstrip('.')} "
            "(RECSYS_KAFKA_SSL_CA_FILE names the authorities that are)",
        ) from None
    except (ssl.SSLError, ConnectionError, TimeoutError) as error:
        if _speaks_plain(server, connection.gettimeout() or TIMEOUT_S):
            fitting = "SASL_PLAINTEXT" if settings.kafka_uses_sasl else "PLAINTEXT"
            raise _Found(
                Problem.NO_TLS,
                f"Kafka at {server} speaks plain text and was spoken to in TLS: set RECSYS_KAFKA_SECURITY_PROTOCOL to "
                f"{fitting}, or use the address of its TLS listener",
            ) from None
        if isinstance(error, TimeoutError):
            raise
        raise _Found(Problem.CERTIFICATE, f"Kafka at {server} ended the TLS handshake: {_tls_reason(error)}") from None


def _tls_reason(error: Exception) -> str:
    return (getattr(error, "reason", None) or type(error).__name__).lower().replace("_", " ")


def _logged_in(settings: KafkaSettings, server: str, wire: Wire) -> Wire:
    if not settings.kafka_uses_sasl:
        return wire
    mechanism = settings.kafka_sasl_mechanism
    offer = wire.sasl_handshake(mechanism)
    if not offer.accepted and not offer.offered:
        raise _Found(
            Problem.NO_LOGIN,
            f"Kafka at {server} knows no login on this listener: set RECSYS_KAFKA_SECURITY_PROTOCOL to "
            f"{'SSL' if settings.kafka_uses_tls else 'PLAINTEXT'}, or use the address of its SASL listener",
        )
    if not offer.accepted:
        raise _Found(
            Problem.MECHANISM,
            f"Kafka at {server} offers the login mechanisms {', '.join(offer.offered)} and not {mechanism} "
            "(RECSYS_KAFKA_SASL_MECHANISM)",
        )
    password = settings.kafka_sasl_password
    try:
        wire.log_in(
            mechanism, settings.kafka_sasl_username or "", "" if password is None else password.get_secret_value()
        )
    except LoginRefused:
        raise _Found(
            Problem.LOGIN_REFUSED,
            f"Kafka at {server} refuses the login of user {settings.kafka_sasl_username!r} by {mechanism}: check "
            "RECSYS_KAFKA_SASL_USERNAME and RECSYS_KAFKA_SASL_PASSWORD",
        ) from None
    return wire


def _closed(settings: KafkaSettings, server: str) -> Finding:
    """The connection ended where a client's goes on: before its login, or for want of one."""
    if settings.kafka_uses_sasl:
        return Finding(
            Problem.NO_LOGIN,
            f"Kafka at {server} closed the connection at the login: its listener may know none "
            "(RECSYS_KAFKA_SECURITY_PROTOCOL)",
        )
    return Finding(
        Problem.LOGIN_NEEDED,
        f"Kafka at {server} closed the connection when it was asked for its brokers: it wants a login (set "
        f"RECSYS_KAFKA_SECURITY_PROTOCOL to {'SASL_SSL' if settings.kafka_uses_tls else 'SASL_PLAINTEXT'}, and "
        "RECSYS_KAFKA_SASL_USERNAME and RECSYS_KAFKA_SASL_PASSWORD)",
    )


def _speaks_tls(server: str, timeout_s: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent; only whether TLS is spoken
    try:
        with _connected(server, timeout_s) as connection:
            context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        return "CERTIFICATE" in str(error.reason)  # it wants to see one
    except (_Found, OSError):
        return False
    return True


def _speaks_plain(server: str, timeout_s: float) -> bool:
    try:
        with _connected(server, timeout_s) as connection:
            Wire(connection).api_versions()
    except (_Found, NotKafka, OSError):
        return False
    return True
