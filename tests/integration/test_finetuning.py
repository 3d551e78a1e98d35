"""The fine-tuner as its operator meets it: events in Kafka become a published increment, and a kill loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from recsys.catalog import encode_course
from recsys.events import encode
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.model.bundle import load_manifest, write_bundle
from recsys.model.publications import read_publications
from recsys.settings import load_settings
from stream.finetuning.checkpoint import read_checkpoint
from stream.finetuning.process import NICENESS
from tests.doubles.commands import Recsys, wait_until
from tests.unit.stream.finetuning.drawn import course_of, events, hybrid

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]  # two starts of TensorFlow

WITHIN_S = 250
MORE_AFTER_S, MORE_EVERY_S = 30.0, 5.0


class Finetuner:
    """`recsys finetune` as a process."""

    def __init__(self, recsys: Recsys, log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            asked = [sys.executable, "-m", "recsys.cli", "finetune"]
            self.process = subprocess.Popen(asked, env=recsys.env, stdout=file, stderr=file)

    def check(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return True


@pytest.fixture
def platform(recsys: Recsys, tmp_path: Path) -> Recsys:
    """Topics, and a hybrid model that is published."""
    recsys.extra |= {
        "RECSYS_MODELS_DIR": str(tmp_path / "models"),
        "RECSYS_FINETUNE_DIR": str(tmp_path / "finetune"),
        "RECSYS_FINETUNE_GROUP": recsys.extra["RECSYS_CONSUMER_GROUP"] + "-finetune",
        "RECSYS_FINETUNE_GATE_SECONDS": "1",
        "RECSYS_FINETUNE_GATE_EVENTS": "300",
        "RECSYS_FINETUNE_GATE_MOVED": "0",
        "RECSYS_FINETUNE_REJECTIONS": "1000",
        "RECSYS_FINETUNE_BLOCK_OFFSETS": "50",
        "RECSYS_FINETUNE_CHECKPOINT_BLOCKS": "4",  # of the few blocks here, as the checkpoint tells how far it is
        "RECSYS_FINETUNE_IDLE": "false",  # machines that test are busy
        "RECSYS_MODEL_POLL_SECONDS": "0.1",
    }
    recsys.run("topics", "--partitions", "1")
    bundle = write_bundle(tmp_path / "models", hybrid(text=True))
    recsys.run("models", "rollback", bundle.name, "--never-published")
    return recsys


@pytest.fixture
def finetuners(platform: Recsys, tmp_path: Path) -> Iterator[Any]:
    started: list[Finetuner] = []

    def start() -> Finetuner:
        started.append(Finetuner(platform, tmp_path / f"finetuner-{len(started)}.log"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def send(platform: Recsys, count: int, *, seed: int, learners: int = 300, new: Sequence[str] = ()) -> None:
    clicks = events(count, seed=seed, learners=learners, new=new)
    into(platform, "RECSYS_INTERACTIONS_TOPIC", [Record(each.user_id.encode(), encode(each)) for each in clicks])


def into(platform: Recsys, topic_setting: str, records: list[Record]) -> None:
    topic = platform.extra[topic_setting]
    producer = connect(load_settings(kafka_bootstrap_servers=platform.kafka), topic)
    produce(producer, topic, records)
    producer.close()


def test_events_become_a_published_increment_and_a_kill_loses_nothing(
    platform: Recsys, finetuners: Any, tmp_path: Path
) -> None:
    def published() -> str:
        current = read_publications(tmp_path / "models").current  # a command for each look would take a second of CPU
        return "" if current is None else current.version

    parent = published()
    send(platform, 3000, seed=0)
    finetuner, sent, more_at = finetuners(), 3000, time.monotonic() + MORE_AFTER_S

    def increment_is_published() -> bool:
        """Clicks go on: what a verdict has for evidence depends on when it comes, and none may have enough."""
        nonlocal sent, more_at
        if time.monotonic() > more_at:
            send(platform, 500, seed=sent, learners=1000)
            sent, more_at = sent + 500, time.monotonic() + MORE_EVERY_S
        return finetuner.check() and published() != parent

    wait_until(increment_is_published, within_s=WITHIN_S, what="an increment")
    increment = load_manifest(tmp_path / "models" / published())
    assert (increment.parent, increment.metrics["model"]) == (parent, "increment")
    listed = json.loads(platform.run("models", "list", "--json"))
    assert listed["models"][0]["parent"] == parent
    assert 0.2 <= listed["models"][0]["agreement"] <= 1

    processes = [psutil.Process(finetuner.process.pid), *psutil.Process(finetuner.process.pid).children(recursive=True)]
    assert len(processes) > 1
    assert all(process.nice() >= min(19, psutil.Process().nice() + NICENESS) for process in processes)
    finetuner.process.send_signal(signal.SIGKILL)
    finetuner.process.wait()
    at_kill = read_checkpoint(tmp_path / "finetune")
    assert at_kill is not None
    send(platform, 1500, seed=1, new=["new"])
    into(platform, "RECSYS_COURSES_TOPIC", [Record(b"new", encode_course(course_of(42, "new")))])
    again = finetuners()

    def through() -> bool:
        found = read_checkpoint(tmp_path / "finetune")
        if not again.check() or found is None:
            return False
        line = found["line"]
        return line["positions"].get(0, 0) >= sent + 500 and len(line["new_courses"]["admitted"]) == 1

    wait_until(through, within_s=WITHIN_S, what="the rest of the events, and rows of the new course")
    after = read_checkpoint(tmp_path / "finetune")
    assert after is not None
    assert after["line"]["parent"] == parent
    assert after["line"]["steps"]["learned"] > at_kill["line"]["steps"]["learned"]

    other = subprocess.run(
        [sys.executable, "-m", "recsys.cli", "finetune"], env=platform.env, capture_output=True, text=True, check=False
    )
    assert other.returncode != 0
    assert "another fine-tuner uses" in other.stderr

    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(30) == 0, again.log.read_text()
