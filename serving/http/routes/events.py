"""`POST /v1/events`: validated, produced to Kafka, answered after every acknowledgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from recsys.errors import ServiceUnavailable
from serving.errors import EventsRefused, TooLarge
from serving.events.incoming import MAX_BODY_BYTES, parse_events
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
        _check_content_encoding(request)
        body = await _bounded_body(request)
        arrival_ms = clock()
        try:
            accepted = parse_events(body, arrival_ms=arrival_ms)
        except EventsRefused as error:
            for reason, count in Counter(event.reason for event in error.refused).items():
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
