"""Probing one listener: a connection of its own that goes as far as a client's, and says at which step it ended.

The steps are those of a client: the address, TLS, the kind of listener, the login. Where one ends, what the listener
would have taken instead is found out by a second connection (`_speaks_tls`, `_speaks_plain`).
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from recsys.kafka.findings import Finding, Found, Problem
from recsys.kafka.wire import LoginRefused, NotKafka, Wire
from recsys.settings.kafka import KafkaSettings


@contextmanager
def as_client(settings: KafkaSettings, server: str, context: ssl.SSLContext | None, timeout_s: float) -> Iterator[Wire]:
    """A connection that is as far as a client's when it asks for the brokers.

    Args:
        settings: Of Kafka.
        server: host:port.
        context: Of TLS; None for plain text.
        timeout_s: For the connection, and for each answer on it.

    Raises:
        Found: A step did not end as a client needs it.
        NotKafka: The connection ended after all steps but the login (`ended`).
        TimeoutError: An answer did not come.
    """
    with connected(server, timeout_s) as connection:
        if context is None:
            wire = Wire(connection)
            _expect_plain(wire, server, timeout_s)
            yield _logged_in(settings, server, wire)
            return
        with _encrypted(settings, connection, server, context, timeout_s) as encrypted:
            wire = Wire(encrypted)
            try:
                wire.api_versions()
            except (ssl.SSLError, NotKafka):
                # TLS 1.3 refuses a client's certificate only after the client's part of the handshake
                raise Found(
                    Problem.CERTIFICATE,
                    f"Kafka at {server} ended the TLS connection: it may ask for a client certificate that it trusts "
                    "(RECSYS_KAFKA_SSL_CERT_FILE, RECSYS_KAFKA_SSL_KEY_FILE)",
                ) from None
            yield _logged_in(settings, server, wire)


def connected(server: str, timeout_s: float) -> socket.socket:
    """A connection to host:port.

    Raises:
        Found: Nobody takes one there; the message is the address and why.
    """
    host, _, port = server.rpartition(":")
    try:
        return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)
    except (OSError, UnicodeError) as error:
        raise Found(Problem.UNREACHABLE, f"{server}: {_reason(error)}") from None


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
            raise Found(
                Problem.TLS_NEEDED,
                f"Kafka at {server} speaks TLS and was spoken to in plain text: set RECSYS_KAFKA_SECURITY_PROTOCOL to "
                "SSL, or to SASL_SSL where it wants a login",
            ) from None
        if isinstance(error, TimeoutError):
            raise
        raise Found(
            Problem.SILENT, f"what listens at {server} closed the connection without an answer: it may be no Kafka"
        ) from None


def _encrypted(
    settings: KafkaSettings, connection: socket.socket, server: str, context: ssl.SSLContext, timeout_s: float
) -> ssl.SSLSocket:
    host = server.rpartition(":")[0].strip("[]")
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Found(
            Problem.UNTRUSTED,
            f"the certificate of Kafka at {server} is not trusted: {error.verify_message.rstrip('.')} "
            "(RECSYS_KAFKA_SSL_CA_FILE names the authorities that are)",
        ) from None
    except (ssl.SSLError, ConnectionError, TimeoutError) as error:
        if _speaks_plain(server, timeout_s):
            fitting = "SASL_PLAINTEXT" if settings.kafka_uses_sasl else "PLAINTEXT"
            raise Found(
                Problem.NO_TLS,
                f"Kafka at {server} speaks plain text and was spoken to in TLS: set RECSYS_KAFKA_SECURITY_PROTOCOL to "
                f"{fitting}, or use the address of its TLS listener",
            ) from None
        if isinstance(error, TimeoutError):
            raise
        raise Found(Problem.CERTIFICATE, f"Kafka at {server} ended the TLS handshake: {_tls_reason(error)}") from None


def _tls_reason(error: Exception) -> str:
    return (getattr(error, "reason", None) or type(error).__name__).lower().replace("_", " ")


def _logged_in(settings: KafkaSettings, server: str, wire: Wire) -> Wire:
    if not settings.kafka_uses_sasl:
        return wire
    mechanism = settings.kafka_sasl_mechanism
    offer = wire.sasl_handshake(mechanism)
    if not offer.accepted and not offer.offered:
        raise Found(
            Problem.NO_LOGIN,
            f"Kafka at {server} knows no login on this listener: set RECSYS_KAFKA_SECURITY_PROTOCOL to "
            f"{'SSL' if settings.kafka_uses_tls else 'PLAINTEXT'}, or use the address of its SASL listener",
        )
    if not offer.accepted:
        raise Found(
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
        raise Found(
            Problem.LOGIN_REFUSED,
            f"Kafka at {server} refuses the login of user {settings.kafka_sasl_username!r} by {mechanism}: check "
            "RECSYS_KAFKA_SASL_USERNAME and RECSYS_KAFKA_SASL_PASSWORD",
        ) from None
    return wire


def ended(settings: KafkaSettings, server: str) -> Finding:
    """What a connection means that ended where a client's goes on: before its login, or for want of one."""
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
        with connected(server, timeout_s) as connection:
            context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        return "CERTIFICATE" in str(error.reason)  # it wants to see one
    except (Found, OSError):
        return False
    return True


def _speaks_plain(server: str, timeout_s: float) -> bool:
    try:
        with connected(server, timeout_s) as connection:
            Wire(connection).api_versions()
    except (Found, NotKafka, OSError):
        return False
    return True
