"""Bodies of requests that send something: JSON as it is, of bounded size."""

from __future__ import annotations

from starlette.requests import Request

from serving.errors import TooLarge
from serving.events.incoming import MAX_BODY_BYTES
from serving.http.problems import Problem, ProblemBody


async def json_body(request: Request) -> bytes:
    """The body of a request that sends JSON.

    Raises:
        Problem: It is of another media type, or compressed.
        TooLarge: It is longer than `MAX_BODY_BYTES`.
    """
    _check_media_type(request)
    _check_content_encoding(request)
    return await _bounded_body(request)


def _check_media_type(request: Request) -> None:
    """Only JSON: what a foreign web page can send without asking (forms, plain text) is refused."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != "application/json":
        detail = f"expected Content-Type: application/json, received {given[:80]!r}"
        raise Problem(415, ProblemBody("unsupported_media_type", detail))


def _check_content_encoding(request: Request) -> None:
    """Only a body as it is: nothing is decompressed, so that no small request becomes a large one."""
    given = ", ".join(request.headers.getlist("content-encoding"))
    if any(coding.strip().lower() not in {"", "identity"} for coding in given.split(",")):
        detail = f"expected a body without Content-Encoding, received {given[:80]!r}; send the JSON uncompressed"
        raise Problem(415, ProblemBody("unsupported_encoding", detail), {"Accept-Encoding": "identity"})


async def _bounded_body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise TooLarge(f"expected a body of at most {MAX_BODY_BYTES} bytes, received {announced[:20]}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"expected a body of at most {MAX_BODY_BYTES} bytes, received more")
    return bytes(body)
