"""What probing a listener over TLS finds, on real sockets with certificates made here."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from recsys.errors import UntrustedCertificate
from recsys.kafka.diagnosis import diagnose, reach
from recsys.kafka.findings import Problem
from recsys.settings import Settings
from tests.doubles.listeners import listening


def untrusted(folder: Path, authority: trustme.CA, server: trustme.LeafCert) -> list[Problem]:
    """What is found of a server with a certificate by a client that trusts one authority; each connection counts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    met: list[int] = []

    def serve(connection: socket.socket) -> None:
        met.append(1)
        context.wrap_socket(connection, server_side=True)

    with listening(serve) as at:
        settings = Settings(
            kafka_bootstrap_servers=at, kafka_security_protocol="SSL", kafka_ssl_ca_file=folder / "ca.pem"
        )
        found = diagnose(settings)
        assert len(met) == 1, "our side is sure: it need not be met again"
        with pytest.raises(UntrustedCertificate, match=r"is not trusted: .*RECSYS_KAFKA_SSL_CA_FILE"):
            reach(settings)
    return [finding.problem for finding in found]


def test_an_expired_certificate_is_told_from_a_connection_that_is_cut_off(tmp_path: Path) -> None:
    authority = trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    server = authority.issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    assert untrusted(tmp_path, authority, server) == [Problem.UNTRUSTED]


def test_a_certificate_of_another_authority_and_one_of_another_host_are_not_trusted(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    assert untrusted(tmp_path, authority, other.issue_cert("127.0.0.1")) == [Problem.UNTRUSTED]
    assert untrusted(tmp_path, authority, authority.issue_cert("kafka.test")) == [Problem.UNTRUSTED]
