"""HTTP Basic: who may send statements."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable

from pydantic import SecretStr
from starlette.requests import Request

from serving.http.problems import Problem, ProblemBody

Authorize = Callable[[Request], None]
"""Raises `Problem` where a request may not be answered."""

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="recsys", charset="UTF-8"'}


def anybody(_: Request) -> None:
    """The `Authorize` of an API that is guarded by something before it, or by its address."""


def basic(credentials: SecretStr | None) -> Authorize:
    """Asks for a user and password.

    Args:
        credentials: `user:password`; None asks for nothing.
    """
    if credentials is None:
        return anybody
    expected = credentials.get_secret_value().encode()

    def authorize(request: Request) -> None:
        if not hmac.compare_digest(_given(request.headers.get("authorization", "")), expected):
            detail = "expected HTTP Basic credentials, those of RECSYS_XAPI_CREDENTIALS"
            raise Problem(401, ProblemBody("unauthorized", detail), _CHALLENGE)

    return authorize


def _given(header: str) -> bytes:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
