"""Logs: one event name with fields a line, on standard error, so that results on standard output stay clean.

Records of the standard library (Faust, aiokafka, uvicorn) take the same way and look the same.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor

from recsys.errors import ConfigurationError
from recsys.settings import Settings

_QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio")
"""Libraries whose `info` is chatter: they are heard from `warning` on. With `debug` each is heard in full."""

_WIRE_DUMP = "kafka.protocol.parser"
"""Logs every byte that kafka-python sends: logins, and what learners did."""

_KAFKA_CLIENTS = ("aiokafka", "kafka")
_LOGIN_FIELD = re.compile(r"auth_bytes=|sasl_plain_password'?[:=] ?")
"""What stands before a login in a request, an answer or a client's configuration, as they print them."""

SAY_AGAIN_AFTER_S = 10.0
MOST_LINES_REMEMBERED = 256


class RepeatsHeldBack(logging.Filter):
    """Lets a library's line through once in `every_s` seconds, with the number of those held back since.

    While a broker is away, clients say so many times a second; an operator needs to read the other lines.

    Args:
        every_s: Seconds between two of the same line: same logger, same level, same message before its arguments.
        clock: Seconds, monotonic.
    """

    def __init__(self, every_s: float = SAY_AGAIN_AFTER_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._clock = every_s, clock
        self._said: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.name.partition(".")[0] not in _QUIET or record.exc_info:
            return True
        line, now = (record.name, record.levelno, str(record.msg)), self._clock()
        said_at, held_back = self._said.get(line, (-self._every_s, 0))
        if now - said_at < self._every_s:
            self._said[line] = (said_at, held_back + 1)
            return False
        if len(self._said) >= MOST_LINES_REMEMBERED:
            self._said.clear()
        self._said[line] = (now, 0)
        if held_back:
            record.held_back = held_back
        return True


class LoginsHidden(logging.Filter):
    """Cuts a login, and all that follows it in the line, out of what Kafka clients log for debugging.

    By PLAIN that is the password, by SCRAM what a password could be guessed from.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record's message is changed where it holds such bytes."""
        if record.name.partition(".")[0] in _KAFKA_CLIENTS:
            message = record.getMessage()
            found = _LOGIN_FIELD.search(message)
            if found is not None:
                record.msg, record.args = f"{message[: found.end()]}***", ()
        return True


def configure_logging(
    settings: Settings, stream: TextIO | None = None, *, quiet: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Sends every log line of this process, in the form the settings ask for, to one place.

    Args:
        settings: `log_level` and `log_format` are used.
        stream: Where lines go; None is standard error.
        quiet: Further loggers → the level from which they are heard. As for all libraries, `debug` overrides it.

    Raises:
        ConfigurationError: The level or the format is not one of the known ones.
    """
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise ConfigurationError(
            f"expected RECSYS_LOG_LEVEL as debug, info, warning or error, received {settings.log_level!r}"
        )
    target = stream or sys.stderr
    shared = _shared_processors()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _without_colours],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings, target)],
    )
    output = logging.StreamHandler(target)
    output.setFormatter(formatter)
    debugging = level <= logging.DEBUG
    output.addFilter(LoginsHidden() if debugging else RepeatsHeldBack())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    for name, lowest in (dict.fromkeys(_QUIET, logging.WARNING) | dict(quiet)).items():
        logging.getLogger(name).setLevel(level if debugging else max(level, lowest))
    logging.getLogger(_WIRE_DUMP).setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _without_colours(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Drops uvicorn's second copy of its message, the one with terminal colours."""
    event.pop("color_message", None)
    return event


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendering(settings: Settings, target: TextIO) -> list[Processor]:
    if settings.log_format == "json":
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False)]
    if settings.log_format == "console":
        plain = structlog.dev.plain_traceback  # rich tracebacks print local variables, and those hold user ids
        return [structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain)]
    raise ConfigurationError(f"expected RECSYS_LOG_FORMAT as console or json, received {settings.log_format!r}")
