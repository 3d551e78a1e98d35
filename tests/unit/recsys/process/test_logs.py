"""Log lines: one event with its fields, whoever wrote it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from recsys.errors import ConfigurationError
from recsys.process.logs import RepeatsHeldBack, configure_logging
from recsys.settings import load_settings


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logging.getLogger(name).level
        for name in ("aiokafka", "faust", "mode", "kafka", "kafka.protocol.parser", "asyncio")
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def configured(**settings: str) -> io.StringIO:
    out = io.StringIO()
    named: dict[str, Any] = dict(settings)
    configure_logging(load_settings(**named), out)
    return out


def test_json_lines_hold_event_fields_level_and_an_utc_time() -> None:
    out = configured(log_format="json")
    structlog.get_logger("stream.engagement.commit").info("chunk committed", partition=3, records=17)
    row = json.loads(out.getvalue())
    assert (
        row.items()
        >= {
            "event": "chunk committed",
            "partition": 3,
            "records": 17,
            "level": "info",
            "logger": "stream.engagement.commit",
        }.items()
    )
    assert row["timestamp"].endswith("Z")


def test_a_message_is_not_said_again_in_colours() -> None:
    out = configured(log_format="json")
    logging.getLogger("uvicorn.error").warning("started %d", 7, extra={"color_message": "started \x1b[36m%d\x1b[0m"})
    assert set(json.loads(out.getvalue())) == {"event", "level", "logger", "timestamp"}


def test_the_standard_library_takes_the_same_way() -> None:
    out = configured(log_format="json")
    logging.getLogger("uvicorn.error").warning("slow %s", "client", extra={"port": 1})
    row = json.loads(out.getvalue())
    assert (row["event"], row["level"], row["port"]) == ("slow client", "warning", 1)


def test_an_exception_is_part_of_its_line() -> None:
    out = configured(log_format="json")
    try:
        int("boom")
    except ValueError:
        structlog.get_logger("x").exception("fold failed")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "ValueError"


def test_below_the_level_nothing_is_written_and_chatty_libraries_start_at_warning() -> None:
    out = configured(log_level="info")
    structlog.get_logger("x").debug("detail")
    logging.getLogger("aiokafka.consumer").info("chatter")
    assert not out.getvalue()
    logging.getLogger("aiokafka.consumer").warning("trouble")
    assert "trouble" in out.getvalue()


def test_with_debug_every_library_is_heard_each_time_it_speaks() -> None:
    out = io.StringIO()
    configure_logging(load_settings(log_level="debug"), out, quiet={"aiokafka": logging.ERROR})
    for library in ("faust.app.base", "mode.services", "aiokafka.consumer.fetcher", "kafka.cluster"):
        for _ in range(2):
            logging.getLogger(library).debug("detail")
        assert out.getvalue().count(library) == 2


def test_a_process_may_name_further_loggers_that_are_quiet() -> None:
    out = io.StringIO()
    configure_logging(load_settings(), out, quiet={"aiokafka": logging.ERROR})
    logging.getLogger("aiokafka.consumer").warning("reconnecting")
    assert not out.getvalue()
    logging.getLogger("aiokafka.consumer").error("trouble")
    assert "trouble" in out.getvalue()


@pytest.mark.parametrize("wrong", [{"log_level": "loud"}, {"log_format": "xml"}])
def test_an_unknown_level_or_format_is_one_clear_error(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"RECSYS_LOG_.*, received"):
        configured(**wrong)


def test_a_library_that_repeats_itself_is_heard_once_in_ten_seconds() -> None:
    now = 0.0
    held_back = RepeatsHeldBack(10.0, clock=lambda: now)

    def said(logger: str, message: str, *arguments: object) -> logging.LogRecord | None:
        record = logging.LogRecord(logger, logging.ERROR, "", 0, message, arguments, None)
        return record if held_back.filter(record) else None

    assert [said("aiokafka.cluster", "Topic %s not found", n) is not None for n in range(5)] == [True] + [False] * 4
    assert said("aiokafka.cluster", "another line")
    assert all(said("stream.engagement.commit", "retrying") for _ in range(3)), "ours are heard each time"
    now = 10.0
    again = said("aiokafka.cluster", "Topic %s not found", 5)
    assert again is not None
    assert vars(again)["held_back"] == 4
    assert said("aiokafka.cluster", "Topic %s not found", 6) is None


def test_a_login_is_cut_out_of_what_kafka_clients_log_for_debugging() -> None:
    out = configured(log_level="debug")
    request = r"SaslAuthenticateRequest_v1(sasl_auth_bytes=b'\x00user\x00hunter2-s3cret')"
    logging.getLogger("aiokafka.conn").debug("Request to %s: %s", "k:9092", request)
    logging.getLogger("kafka.net.connection").debug("%s", request.replace("sasl_", ""))
    logging.getLogger("kafka.admin.client").debug("config: %s", {"sasl_plain_password": "hunter2-s3cret", "z": 1})
    logging.getLogger("kafka.protocol.parser").debug("Sent: %r", b"hunter2-s3cret")
    written = out.getvalue()
    assert "hunter2-s3cret" not in written
    assert written.count("auth_bytes=***") == 2
    assert "Request to k:9092: SaslAuthenticateRequest_v1(" in written
