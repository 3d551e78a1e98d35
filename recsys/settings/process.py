"""What every process has: a log and a seed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recsys.settings.section import Section, Word


class ProcessSettings(Section):
    """Logs and random numbers."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Word] = Field(
        default="info", description="debug, info, warning or error."
    )
    log_format: Annotated[Literal["console", "json"], Word] = Field(
        default="console", description="`console` for people, `json` for log collectors."
    )
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Seed of everything random: negatives, initial weights, simulator."
    )
