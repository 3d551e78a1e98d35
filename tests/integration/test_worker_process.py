"""A worker process as its operator meets it: health, metrics, and what it logs with `debug`."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from infra.devtools.processes import free_port
from tests.doubles.commands import Recsys, wait_until

pytestmark = pytest.mark.services


def test_a_worker_shows_health_and_metrics_and_with_debug_what_its_libraries_do(recsys: Recsys) -> None:
    port = free_port()
    recsys.extra |= {"RECSYS_WORKER_METRICS_PORT": str(port), "RECSYS_LOG_LEVEL": "debug"}
    recsys.run("topics", "--partitions", "2")
    worker = recsys.start_worker()

    def healthy() -> bool:
        assert worker.poll() is None, recsys.log_of(worker)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    wait_until(healthy, within_s=60, what="a healthy worker")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert b"recsys_records_total" in answer.read()
    for logger in ("[aiokafka.", "[faust.", "[mode."):
        wait_until(lambda name=logger: name in recsys.log_of(worker), within_s=60, what=f"a line of {logger}")  # type: ignore[misc]
