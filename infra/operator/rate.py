"""The `--rate` of commands that send records."""

from __future__ import annotations

import math
from typing import Any

import click


class Rate(click.FloatRange):
    """A finite number above 0; "nan" passes the bounds of a range, for it compares with nothing."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            click.BadParameter: It is none, not finite, or not above 0.
        """
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number
