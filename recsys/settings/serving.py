"""How the API answers."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from recsys.settings.section import Folder, Name, NestedNumbers, Section

SHARE_TOLERANCE = 1e-6
_NAME = re.compile(r"[\w.-]{1,64}")


def _root_path(path: str) -> str:
    if path and (re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) is None or {".", ".."} & set(path.split("/"))):
        raise ValueError("expected a path such as /recsys, without a slash at its end")
    return path


def _proxies(text: str) -> str:
    """Addresses in one spelling, without blanks."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if part == "*":
            continue
        try:
            ip_network(part)
        except ValueError:
            raise ValueError("expected addresses and networks such as 10.0.0.5,10.1.0.0/16, or *") from None
    return ",".join(parts)


def _shares(experiments: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    for name, shares in experiments.items():
        if not all(_NAME.fullmatch(text) for text in (name, *shares)):
            raise ValueError("expected names of 1 to 64 letters, digits and ._- for experiments and variants")
        if not shares or abs(sum(shares.values()) - 1.0) > SHARE_TOLERANCE or min(shares.values()) < 0:
            raise ValueError(f"expected shares of experiment {name!r} that sum to 1")
    return experiments


RootPath = Annotated[str, AfterValidator(_root_path)]
Proxies = Annotated[str, AfterValidator(_proxies)]


class ServingSettings(Section):
    """The HTTP API."""

    serving_host: Name = Field(
        default="127.0.0.1", description="Address the API binds; loopback unless told otherwise."
    )
    serving_port: int = Field(default=8080, ge=0, le=65535, description="Port the API binds; 0 picks a free one.")
    serving_root_path: RootPath = Field(
        default="",
        description="Path under which a proxy shows the API, such as `/recsys`; the proxy may strip it or not.",
    )
    serving_trusted_proxies: Proxies = Field(
        default="127.0.0.1,::1",
        description="Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, "
        "separated by commas; `*` for all, empty for none.",
    )
    serving_redis_timeout_ms: int = Field(
        default=50, ge=1, le=5000, description="Connect and read time-out of the API towards Redis; no retries."
    )
    serving_default_n: int = Field(default=10, ge=1, le=50, description="Recommendations when `n` is not given.")
    serving_cache_seconds: float = Field(
        default=300.0,
        ge=1e-3,
        le=604_800,
        description="How long the API serves a list it last read, while Redis does not answer.",
    )
    serving_done_seconds: float = Field(
        default=3600.0,
        ge=1e-3,
        le=604_800,
        description="How long the API remembers what a learner it last read is done with, while Redis does not answer; "
        "it holds nothing of an erased learner for longer (at least `RECSYS_SERVING_CACHE_SECONDS`).",
    )
    serving_produce_timeout_ms: int = Field(
        default=2000, ge=1, le=60_000, description="Longest wait of `POST /v1/events` for Kafka's acknowledgement."
    )
    serving_fresh_wait_ms: int = Field(
        default=50,
        ge=0,
        le=1000,
        description="Longest wait of an answer for the event that `after_offset` names; 0 never waits.",
    )
    serving_state_dir: Folder = Field(
        default=Path("var/serving"),
        description="Where the API keeps trending and the model pointer as it saw them last, for Redis outages.",
    )
    experiments: Annotated[NestedNumbers, AfterValidator(_shares)] = Field(
        default_factory=dict,
        description='A/B experiments as JSON: {"name": {"variant": share, …}}; shares of one experiment sum to 1.',
    )
