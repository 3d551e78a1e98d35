"""The TLS context of a client, from files: one way for Kafka and Redis."""

from __future__ import annotations

import ssl
from pathlib import Path

from recsys.errors import ConfigurationError


def client_context(
    prefix: str,
    *,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    key_password: str | None,
    check_hostname: bool,
) -> ssl.SSLContext:
    """A context that verifies the server, and shows a certificate where there is one.

    Args:
        prefix: Of the settings' names, for messages.
        ca_file: Authorities; None for those of the system.
        cert_file: The client's certificate chain; None for none.
        key_file: Its private key; None if `cert_file` holds it.
        key_password: Of the private key.
        check_hostname: Whether the server's certificate has to name the host that was dialled.

    Raises:
        ConfigurationError: A file holds no certificate or key, or the key's password is another.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (ssl.SSLError, OSError):
        raise ConfigurationError(f"{prefix}_CA_FILE: expected a PEM file with certificates: {ca_file}") from None
    context.check_hostname = check_hostname
    if cert_file is None:
        return context
    password = key_password or ""  # None would ask on the terminal
    try:
        context.load_cert_chain(cert_file, key_file, password=password)
    except (ssl.SSLError, OSError, ValueError):
        raise ConfigurationError(
            f"{prefix}_CERT_FILE, {prefix}_KEY_FILE: expected a PEM file with a certificate, one with its private key, "
            f"and that key's password in {prefix}_KEY_PASSWORD if it has one"
        ) from None
    return context
