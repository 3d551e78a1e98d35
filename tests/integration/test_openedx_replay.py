"""A small Open edX log through ingest, Kafka, a worker, to recommendations; 72 hours later once more: nothing differs.

The large one is `python -m benchmarks.openedx_replay`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.openedx_figures import report
from benchmarks.openedx_replay import Replay
from benchmarks.openedx_state import PARTITIONS
from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.openedx_log import DEFAULT_END_MS
from infra.devtools.openedx_site import make_site
from infra.operator.topics import topic_partitions
from recsys.settings import load_settings

EVENTS = 6_000


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    topics = topic_partitions(load_settings(), PARTITIONS)
    with EmbeddedKafka(topics) as kafka, LocalRedis() as store:
        settings = load_settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            kafka_embedded=True,
            redis_url=store.url,
            models_dir=tmp_path / "models",
        )
        site = make_site(courses=40, learners=150, seed=2)
        made = Replay(settings, tmp_path, site, events=EVENTS, end_ms=DEFAULT_END_MS)
        made.command("topics", "--partitions", str(PARTITIONS))
        yield made


def test_a_log_sent_again_after_72_hours_changes_no_byte(replay: Replay) -> None:
    seen = replay.run(drawn=True)
    assert seen.differences == []
    assert seen.holds
    assert seen.lines == EVENTS
    assert seen.events > EVENTS // 6
    assert seen.first["accepted"] > seen.events // 2
    assert seen.second["unchanged"] == seen.events + seen.first.get("unchanged", 0)
    assert len(seen.recommended) == 10
    assert all(len(courses) >= 5 for courses in seen.recommended.values())
    assert seen.sources == {"cached": 10}
    assert json.loads(report(seen))["holds"] is True
