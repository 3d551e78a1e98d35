"""What operators and orchestrators ask: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.http.endpoints import Endpoint
from serving.metrics import Metrics

NOT_READY = 503


class Health(BaseModel):
    """The process runs."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests should be sent here; degraded still is ready."""

    ready: bool = Field(description="False only before start-up is complete.")
    degraded: list[str] = Field(
        description="Parts that are missing now: redis, kafka, model (the published one is not in use), trending."
    )
    model_version: str | None = Field(description="The bundle in use.")


def operations(readiness: Callable[[], Readiness]) -> APIRouter:
    """`/healthz` and `/readyz`.

    Args:
        readiness: What is known now; it asks no service.
    """
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Liveness; touches nothing")
    async def healthz() -> Health:
        return Health()

    @router.get(
        "/readyz",
        summary="Readiness; stays true when degraded and says which parts are missing",
        responses={NOT_READY: {"model": Readiness, "description": "Start-up is not complete"}},
        response_model=Readiness,
    )
    async def readyz() -> Response:
        state = readiness()
        headers = None if state.ready else {"Retry-After": "1"}
        return JSONResponse(state.model_dump(), 200 if state.ready else NOT_READY, headers)

    return router


def scrape(metrics: Metrics, readiness: Callable[[], Readiness]) -> Endpoint:
    """`/metrics` in Prometheus's text format."""

    async def endpoint(_: Request) -> Response:
        degraded = readiness().degraded
        for part in ("redis", "kafka", "model", "trending"):
            metrics.up.labels(part).set(part not in degraded)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return endpoint
