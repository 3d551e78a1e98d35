"""`POST /v1/events`: validated, produced to Kafka, answered after every acknowledgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from recsys.errors import ServiceUnavailable
from serving.errors import EventsRefused
from serving.events.incoming import parse_events
from serving.events.producer import EventProducer
from serving.http.bodies import json_body
from serving.http.endpoints import Endpoint, json_response
from serving.http.problems import unavailable
from serving.metrics import Metrics
from serving.recommend.answers import Accepted, StoredEvent

ACCEPTED = 202


def events(producer: EventProducer, metrics: Metrics, clock: Callable[[], int]) -> Endpoint:
    """The endpoint.

    Args:
        producer: Where accepted events go.
        metrics: Where they are counted.
        clock: Arrival time, ms since 1970 UTC.
    """

    async def endpoint(request: Request) -> Response:
        body = await json_body(request)
        arrival_ms = clock()
        try:
            accepted = parse_events(body, arrival_ms=arrival_ms)
        except EventsRefused as error:
            for reason, count in Counter(event.reason for event in error.refused).items():
                metrics.events_refused.labels(reason).inc(count)
            raise
        try:
            with metrics.produce_seconds.time():
                stored = await producer.send(accepted, arrival_ms=arrival_ms)
        except ServiceUnavailable as error:
            metrics.produce_failures.inc()
            raise unavailable(f"{error}; sending the same events again is safe") from None
        metrics.events_accepted.inc(len(accepted))
        places = [StoredEvent(partition, offset) for partition, offset in stored]
        return json_response(Accepted(len(accepted), places), ACCEPTED)

    return endpoint
