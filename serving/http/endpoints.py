"""What every route shares: answers are JSON, requests are measured, and every error becomes a documented body."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.http.problems import MAPPED_ERRORS, Problem, ProblemBody, problem_of
from serving.metrics import Metrics

Endpoint = Callable[[Request], Awaitable[Response]]

_log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()


def encode_json(body: Any) -> bytes:
    """A struct or plain value as JSON; not finite numbers become null."""
    return _encoder.encode(body)


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The body as JSON."""
    return Response(encode_json(body), status, headers, media_type="application/json")


def problem_response(problem: Problem) -> Response:
    """A problem as its JSON body, status and headers."""
    return json_response(problem.body, problem.status, problem.headers)


def measured(route: str, endpoint: Endpoint, metrics: Metrics) -> Endpoint:
    """Wraps an endpoint: problems become answers; count and time go to the metrics under `route`."""
    seconds = metrics.request_seconds.labels(route)

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        try:
            response = await endpoint(request)
        except Problem as problem:
            response = problem_response(problem)
        except MAPPED_ERRORS as error:
            response = problem_response(problem_of(error))
        except ClientDisconnect:
            response = json_response(ProblemBody("disconnected", "the request ended before its body was complete"), 400)
        except Exception:  # noqa: BLE001 (the last line of defence: logged here, never shown to a client)
            _log.exception("request_failed", route=route)
            response = json_response(ProblemBody("internal", "the request failed; the cause is in the log"), 500)
        seconds.observe(time.perf_counter() - started)
        metrics.requests.labels(route, response.status_code).inc()
        return response

    return answer


async def http_exception(request: Request, error: Exception) -> Response:
    """An unknown path, a method that is not allowed: in the form of every other problem."""
    if not isinstance(error, HTTPException):
        raise error
    word = error.detail.lower().replace(" ", "_")
    detail = f"expected a documented path and method, received {request.method} {request.url.path[:200]}"
    return json_response(ProblemBody(word, detail), error.status_code, error.headers)
