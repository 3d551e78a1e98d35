"""A topic whose records carry their senders' time: refused at start, and noticed when somebody makes it so later."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recsys.kafka.admin import ARRIVAL, TIMESTAMP_TYPE
from recsys.kafka.clients import admin_client
from recsys.settings import Settings
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.topics import alter_topic

pytestmark = pytest.mark.services

REMEDY = f"--add-config {TIMESTAMP_TYPE}={ARRIVAL}"


def stamp(recsys: Recsys, kind: str) -> None:
    """Sets whose time the topic's records carry."""
    topic = recsys.extra["RECSYS_INTERACTIONS_TOPIC"]
    with admin_client(Settings(kafka_bootstrap_servers=recsys.kafka)) as client:
        alter_topic(client, topic, {TIMESTAMP_TYPE: kind})


def test_a_worker_stops_when_the_topic_is_altered_and_none_starts_on_it(recsys: Recsys) -> None:
    recsys.extra["RECSYS_WORKER_TOPIC_CHECK_SECONDS"] = "0.5"
    recsys.run("topics", "--partitions", "1")
    worker = recsys.start_worker()
    wait_until(lambda: "worker_started" in recsys.log_of(worker), within_s=60, what="a worker")
    stamp(recsys, "CreateTime")
    assert worker.wait(30) == 2
    assert REMEDY in recsys.log_of(worker).splitlines()[-1]
    for command in ("stream", "rebuild"):
        refused = subprocess.run(
            [sys.executable, "-m", "recsys.cli", command],
            env=recsys.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode == 2
        assert REMEDY in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    stamp(recsys, ARRIVAL)
    again = recsys.start_worker()
    wait_until(lambda: "worker_started" in recsys.log_of(again), within_s=60, what="a worker on the mended topic")
