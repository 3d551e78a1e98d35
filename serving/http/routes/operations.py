"""What operators and orchestrators ask: `/healthz`, `/readyz`, `/metrics`. None of them asks a service."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from serving.http.endpoints import Endpoint, json_response
from serving.metrics import Metrics
from serving.service import Readiness

NOT_READY = 503


class Health(msgspec.Struct, frozen=True):
    """The process runs."""

    status: str = "ok"


async def healthz(_: Request) -> Response:
    """`/healthz`: liveness; touches nothing."""
    return json_response(Health())


def readyz(readiness: Callable[[], Readiness]) -> Endpoint:
    """`/readyz`: readiness; stays true when degraded and says which parts are missing."""

    async def endpoint(_: Request) -> Response:
        state = readiness()
        return json_response(state) if state.ready else json_response(state, NOT_READY, {"Retry-After": "1"})

    return endpoint


def scrape(metrics: Metrics, readiness: Callable[[], Readiness]) -> Endpoint:
    """`/metrics` in Prometheus's text format."""

    async def endpoint(_: Request) -> Response:
        degraded = readiness().degraded
        for part in ("redis", "kafka", "model", "trending"):
            metrics.up.labels(part).set(part not in degraded)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return endpoint
