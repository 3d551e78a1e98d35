"""A fine-tuner seen from outside: how far it is, and what its gate said."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from infra.devtools.running_finetuner import RunningFinetuner, Verdict, decisive, whole_blocks
from recsys.errors import ServiceUnavailable
from recsys.settings import load_settings

WAITING, PASSED = Verdict("waiting", "few events"), Verdict("passed", "better")
REJECTED = Verdict("rejected", "forgets")


class Metrics(BaseHTTPRequestHandler):
    """The fine-tuner's metrics."""

    blocks: ClassVar[int] = 0

    def do_GET(self) -> None:
        body = (
            "# TYPE recsys_finetune_block_seconds histogram\n"
            f"recsys_finetune_block_seconds_count {self.blocks}.0\n"
            "# TYPE recsys_finetune_records_total counter\n"
            'recsys_finetune_records_total{outcome="learned"} 42.0\n'
            'recsys_finetune_records_total{outcome="folded"} 7.0\n'
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        del format, args


@pytest.fixture
def port() -> Iterator[int]:
    Metrics.blocks = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def write(log: Path, *lines: dict[str, Any]) -> None:
    with log.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def judged(verdict: Verdict) -> dict[str, Any]:
    return {"event": "judged", "outcome": verdict.outcome, "reason": verdict.reason, "agreement": None}


def test_what_passed_is_published_by_the_next_verdict(tmp_path: Path, port: int) -> None:
    log = tmp_path / "log"
    write(log, judged(WAITING))
    finetuner = RunningFinetuner(log, port)
    Metrics.blocks = 2
    assert not finetuner.through([(0, 33)])
    write(log, judged(PASSED))
    assert not finetuner.through([(0, 33)])
    write(log, judged(WAITING))
    assert finetuner.through([(0, 33)])


def test_it_is_through_at_the_first_verdict_after_the_last_whole_block(tmp_path: Path, port: int) -> None:
    log = tmp_path / "log"
    log.write_text("a library says something\n")
    finetuner, logs = RunningFinetuner(log, port), [(0, 33), (0, 17)]
    write(log, {"event": "finetuner_started"}, judged(WAITING))
    Metrics.blocks = 2
    assert not finetuner.through(logs)
    Metrics.blocks = 3
    assert not finetuner.through(logs)  # what it said may have been before the last block
    assert not finetuner.through(logs)
    write(log, judged(REJECTED))
    assert finetuner.through(logs)
    assert finetuner.verdicts() == [WAITING, REJECTED]
    assert finetuner.learned == 42


def test_a_line_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, judged(WAITING))
    with log.open("a") as file:
        file.write(json.dumps(judged(PASSED))[:30])
    assert RunningFinetuner(log, 1).verdicts() == [WAITING]


def test_a_model_that_cannot_be_fine_tuned_is_no_reason_to_wait(tmp_path: Path, port: int) -> None:
    log = tmp_path / "log"
    write(log, {"event": "waiting_for_a_model", "reason": "a baseline"})
    finetuner = RunningFinetuner(log, port)
    assert finetuner.through([(0, 33)])
    assert finetuner.verdicts() == [Verdict("waiting_for_a_model", "a baseline")]


def test_one_that_does_not_answer_yet_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    finetuner = RunningFinetuner(log)
    with pytest.raises(ServiceUnavailable, match="metrics do not answer"):
        finetuner.through([(0, 33)])


def test_a_block_is_whole_once_a_record_lies_behind_it() -> None:
    assert whole_blocks([(0, 0)], 16) == 0
    assert whole_blocks([(0, 16)], 16) == 0
    assert whole_blocks([(0, 17), (0, 33)], 16) == 3
    assert whole_blocks([(20, 33)], 16) == 1  # the beginning of the log was deleted


def test_the_verdicts_that_something_followed_from_count_or_the_last_one() -> None:
    assert decisive([WAITING, PASSED, WAITING, REJECTED, WAITING]) == [PASSED, REJECTED]
    assert decisive([WAITING, Verdict("waiting", "more events")]) == [Verdict("waiting", "more events")]
    assert decisive([]) == []


def test_a_demonstration_waits_for_it_so_it_does_not_train_in_idle_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in RunningFinetuner(tmp_path / "log").settings.items():
        monkeypatch.setenv(name, value)
    assert load_settings().finetune_idle is False
