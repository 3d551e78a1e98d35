"""`recsys stream`, importing nothing that takes time before signals are handled.

Without handlers a SIGTERM ends the process as killed, or is ignored where it is the first of its container.
"""

from __future__ import annotations

import os
import signal

import click


@click.command()
@click.option("--worker-id", help="A name that stays the same over restarts; at most one live worker may have it.")
def stream(worker_id: str | None) -> None:
    """Run one engagement worker until SIGTERM or Ctrl-C.

    Reads the interactions topic, keeps engagement, bot flags and trending in Redis, and refreshes cached top-N lists.
    """
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: os._exit(0))  # nothing has begun: until the worker takes over
    from stream.engagement.process import run  # noqa: PLC0415 - takes a second

    run(worker_id)
