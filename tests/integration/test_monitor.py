"""`recsys monitor` on real services: it judges what no worker has applied yet, and shows it as metrics."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from infra.devtools.processes import free_port
from recsys.process.clock import now_ms
from tests.doubles.commands import Recsys, wait_until
from tests.doubles.traffic import Traffic
from tests.integration.test_freshness import publish

pytestmark = pytest.mark.services

WITHIN_S = 90


def test_events_are_judged_before_a_worker_applies_them(recsys: Recsys, tmp_path: Path) -> None:
    port = free_port()
    recsys.extra |= {
        "RECSYS_MODELS_DIR": str(tmp_path / "models"),
        "RECSYS_MONITOR_CONSUMER_GROUP": f"{recsys.extra['RECSYS_CONSUMER_GROUP']}-monitor",
        "RECSYS_MONITOR_METRICS_PORT": str(port),
        "RECSYS_MONITOR_SHARE": "1",
    }
    recsys.run("topics", "--partitions", "2")
    asyncio.run(publish(recsys.redis_url, tmp_path / "models"))
    click_each(recsys, [f"u{n}" for n in range(5)])  # before it is there: it goes back for them

    def metric(pattern: str) -> float:
        assert child.poll() is None, (tmp_path / "monitor.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                found = re.search(rf"^{pattern} (\S+)$", answer.read().decode(), re.MULTILINE)
        except urllib.error.URLError:
            return -1.0
        return -1.0 if found is None else float(found[1])

    judged = r'recsys_prequential_events_total\{outcome="judged"\}'
    with (tmp_path / "monitor.log").open("wb") as log:
        command = [sys.executable, "-m", "recsys.cli", "monitor"]
        child = subprocess.Popen(command, env=recsys.env, stdout=log, stderr=log)
    try:
        wait_until(lambda: metric(judged) == 5, within_s=WITHIN_S, what="five judged events")
        click_each(recsys, [f"v{n}" for n in range(3)])
        wait_until(lambda: metric(judged) == 8, within_s=WITHIN_S, what="eight judged events")
        # All of them clicked one course, which popularity knew from the first on.
        rate = metric(r'recsys_prequential_hit_rate\{list="popularity",window="day"\}')
        assert rate > 0.6
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    finally:
        child.kill()


def click_each(recsys: Recsys, users: list[str]) -> None:
    traffic = Traffic(recsys.kafka, recsys.extra["RECSYS_INTERACTIONS_TOPIC"], partitioner="murmur2_random")
    for user in users:
        fields = {"event_id": user, "user_id": user, "course_id": "c1", "type": "click", "timestamp": now_ms()}
        traffic.send(user.encode(), json.dumps(fields).encode())
    traffic.flush()
