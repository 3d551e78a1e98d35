"""Certificates of an authority that exists for one test run, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from infra.devtools.secured import ServerSecurity

USERNAME, PASSWORD, KEY_PASSWORD = "learner-events", "s3cret/with:odd@signs", "key-s3cret"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files.

    Attributes:
        ca_file: The authority.
        other_ca_file: One that signed nothing here.
        server: What secured servers are started with.
        client_file: A client's certificate.
        client_key_file: Its key, encrypted by `KEY_PASSWORD`.
    """

    ca_file: Path
    other_ca_file: Path
    server: ServerSecurity
    client_file: Path
    client_key_file: Path

    @classmethod
    def made_in(cls, folder: Path) -> Certificates:
        authority, other = trustme.CA(), trustme.CA()
        server, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("client@recsys.test")
        paths = {
            name: folder / f"{name}.pem" for name in ("ca", "other", "server", "server-key", "client", "client-key")
        }
        authority.cert_pem.write_to_path(paths["ca"])
        other.cert_pem.write_to_path(paths["other"])
        for name, issued in (("server", server), ("client", client)):
            paths[name].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        paths["server-key"].write_bytes(_pkcs8(server, None))
        paths["client-key"].write_bytes(_pkcs8(client, KEY_PASSWORD))
        security = ServerSecurity(paths["ca"], paths["server"], paths["server-key"], USERNAME, PASSWORD)
        return cls(paths["ca"], paths["other"], security, paths["client"], paths["client-key"])


def _pkcs8(issued: trustme.LeafCert, password: str | None) -> bytes:
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password.encode()),
    )
