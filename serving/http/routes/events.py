"""`POST /v1/events`: validated, produced to Kafka, answered after every acknowledgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from recsys.errors import ServiceUnavailable
from serving.events.incoming import MAX_BODY_BYTES, parse_events, too_large
from serving.events.producer import EventProducer
from serving.http.endpoints import Endpoint, json_response
from serving.http.problems import Problem, ProblemBody, unavailable
from serving.metrics import Metrics
from serving.recommend.answers import Accepted

ACCEPTED = 202


def events(producer: EventProducer, metrics: Metrics, clock: Callable[[], int]) -> Endpoint:
    """The endpoint.

    Args:
        producer: Where accepted events go.
        metrics: Where they are counted.
        clock: Arrival time, ms since 1970 UTC.
    """

    async def endpoint(request: Request) -> Response:
        _check_media_type(request)
        body = await _bounded_body(request)
        arrival_ms = clock()
        try:
            accepted = parse_events(body, arrival_ms=arrival_ms)
        except Problem as problem:
            for reason, count in Counter(event.reason for event in problem.body.refused or ()).items():
                metrics.events_refused.labels(reason).inc(count)
            raise
        try:
            with metrics.produce_seconds.time():
                await producer.send(accepted, arrival_ms=arrival_ms)
        except ServiceUnavailable as error:
            metrics.produce_failures.inc()
            raise unavailable(f"{error}; sending the same events again is safe") from None
        metrics.events_accepted.inc(len(accepted))
        return json_response(Accepted(len(accepted)), ACCEPTED)

    return endpoint


def _check_media_type(request: Request) -> None:
    """Only JSON: what a foreign web page can send without asking (forms, plain text) is refused."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != "application/json":
        detail = f"expected Content-Type: application/json, received {given[:80]!r}"
        raise Problem(415, ProblemBody("unsupported_media_type", detail))


async def _bounded_body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise too_large(f"a body of at most {MAX_BODY_BYTES} bytes", announced[:20])
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise too_large(f"a body of at most {MAX_BODY_BYTES} bytes", "more")
    return bytes(body)
