"""`GET /v1/users/{user_id}/recommendations` (the hot route) and `GET /v1/trending`."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from serving.errors import InvalidQuery
from serving.http.endpoints import Endpoint, json_response
from serving.recommend.ladder import Ladder
from serving.recommend.query import parse_n, parse_query

REPLACEMENT_CHARACTER = "\ufffd"
VARIANTS_HEADER = "X-Recsys-Variants"


def recommendations(ladder: Ladder, default_n: int) -> Endpoint:
    """The hot route."""

    async def endpoint(request: Request) -> Response:
        user_id: str = request.path_params["user_id"]
        if REPLACEMENT_CHARACTER in user_id:
            _check_encoding(request)
        query = parse_query(user_id, request.query_params, default_n=default_n)
        answer = await ladder.recommend(query)
        headers = {"Cache-Control": "no-store"}
        if answer.variants:
            headers[VARIANTS_HEADER] = ", ".join(f"{name}={variant}" for name, variant in answer.variants.items())
        return json_response(answer, headers=headers)

    return endpoint


def trending(ladder: Ladder, default_n: int) -> Endpoint:
    """What everybody engages with."""

    async def endpoint(request: Request) -> Response:
        return json_response(ladder.trending(parse_n(request.query_params, default_n=default_n)))

    return endpoint


def _check_encoding(request: Request) -> None:
    """The server decodes a path with replacement, so two ids that are not UTF-8 would look the same: refuse them."""
    try:
        unquote_to_bytes(request.scope.get("raw_path", b"")).decode()
    except UnicodeDecodeError:
        raise InvalidQuery("expected a user_id in percent-encoded UTF-8, received other bytes") from None
