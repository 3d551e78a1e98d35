"""An Open edX tracking log through `recsys ingest`, Kafka and a worker to recommendations, and the same log once more.

    python -m benchmarks.openedx_replay [--events 300000] [--learners 6000] [--courses 300] [--seed 0] [--drawn]

The log is made (`infra.devtools.openedx_log`) and ends now. It is sent by the command; a model is trained on what then
lies on the topic (with `--drawn` its weights are drawn instead, which takes a second); a worker folds and makes lists,
and ten learners are recommended courses. Then the log is sent again with the adapter's clock 72 hours later, to a
worker that was started anew. Nothing may differ: every record, every sum of trending, every list of courses not to
recommend and every cached list is compared byte by byte, the scores and the ten answers as they are printed.

Exit status 1 where something differs, or where a record of the topic is not accounted for. Kafka and Redis are real
ones, started here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from benchmarks.openedx_figures import Replayed, report
from benchmarks.openedx_model import catalogue, publish_drawn_model
from benchmarks.openedx_state import PARTITIONS, compared_keys, progress
from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.devtools.openedx_log import write_log
from infra.devtools.openedx_site import Site, make_site, write_site
from infra.devtools.processes import Child
from infra.ingest.sending import ingest_file
from recsys.adapters.completions import Completions
from recsys.adapters.inputs import read_blocks, read_staff
from recsys.adapters.openedx import OpenEdxRules
from recsys.adapters.openedx_tracking import parse_line
from recsys.adapters.summary import Summary
from recsys.catalog import encode_course
from recsys.cli import recsys as command_line
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.settings import Settings, load_settings

LATER_MS = 72 * 3_600_000
PATIENCE_S = 300.0
LEARNERS_SHOWN = 10


class Replay:
    """A site's log on running services with their topics made.

    Args:
        settings: Of the services.
        folder: For files and logs of processes.
        site: Whose log it is.
        events: Lines of the log.
        end_ms: When the log ends, ms since 1970 UTC.
    """

    def __init__(self, settings: Settings, folder: Path, site: Site, *, events: int, end_ms: int) -> None:
        self.settings, self.folder, self.site = settings, folder, site
        self.log = folder / "tracking.log.gz"
        self.env = environment(settings, folder)
        write_site(folder, site)
        write_log(self.log, site, events=events, end_ms=end_ms)

    def run(self, *, drawn: bool) -> Replayed:
        """Sends, folds, recommends; sends again, folds, compares."""
        summary = self.send_by_command()
        self.send_catalogue()
        if drawn:
            self.publish_drawn_model()
        else:
            self.command("retrain", "--from-topic")
        with self.worker("first"):
            first = self.settled(summary["acknowledged"])
            before, ten = self.state(), self.learners()
            answers = {user: self.answer(user) for user in ten}
        self.send_again(later_ms=LATER_MS)
        with self.worker("second"):
            second = self.settled(2 * summary["acknowledged"])
            after = self.state()
            again = {user: self.answer(user) for user in ten}
        differences = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
        differences += [f"answer for {user}" for user in ten if shown(answers[user]) != shown(again[user])]
        return Replayed(
            lines=summary["lines"],
            events=summary["acknowledged"],
            learners=summary["learners"],
            sent_lines_per_second=round(summary["lines"] / summary["seconds"]),
            first=first,
            second=second,
            differences=differences,
            recommended={user: [course for course, _ in shown(answer)] for user, answer in answers.items()},
            sources=dict(Counter(answer["source"] for answer in answers.values())),
        )

    def publish_drawn_model(self) -> None:
        """A model with drawn weights over the site's courses, as the one in use."""
        publish_drawn_model(self.settings, self.site)

    def command(self, *arguments: str) -> str:
        """Runs `recsys` in this process and returns what it printed.

        Raises:
            RuntimeError: It ended with another status than 0.
        """
        done = CliRunner(env=self.env).invoke(command_line, arguments)
        if done.exit_code:
            raise RuntimeError(f"recsys {' '.join(arguments)}: {done.exit_code} {done.output}") from done.exception
        return done.stdout

    def send_by_command(self) -> dict[str, Any]:
        """The log through `recsys ingest`; its summary."""
        names = {f"--{name}": str(self.folder / f"{name}.csv") for name in ("blocks", "staff", "courses")}
        options = [word for pair in names.items() for word in pair]
        summary: dict[str, Any] = json.loads(self.command("ingest", "openedx-logs", str(self.log), *options, "--json"))
        return summary

    def send_again(self, *, later_ms: int) -> None:
        """The same log through the same code, with the adapter's clock so many ms later."""
        rules = OpenEdxRules(
            lambda: time.time_ns() // 1_000_000 + later_ms,
            staff=read_staff(self.folder / "staff.csv"),
            completions=Completions(read_blocks(self.folder / "blocks.csv")),
        )
        ingest_file(self.log, lambda line: parse_line(line, rules), Summary(), self.settings)

    def send_catalogue(self) -> None:
        """The site's courses to the topic of the catalogue."""
        producer = connect(self.settings, self.settings.courses_topic)
        try:
            records = (Record(course.course_id.encode(), encode_course(course)) for course in catalogue(self.site))
            produce(producer, self.settings.courses_topic, records)
        finally:
            producer.close(timeout=1)

    @contextmanager
    def worker(self, name: str) -> Iterator[Child]:
        """A worker, ended by SIGTERM."""
        program = [sys.executable, "-m", "recsys.cli", "stream", "--worker-id", "openedx"]
        child = Child(name, program, log=self.folder / f"{name}.log", environment=self.env)
        try:
            yield child
        finally:
            child.stop()

    def settled(self, records: int) -> dict[str, int]:
        """Waits until so many records are folded and no learner waits for a list; the records by outcome.

        Raises:
            RuntimeError: It takes too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            counts, waiting = asyncio.run(progress(self.settings))
            if sum(counts.values()) >= records and not waiting:
                return counts
            if time.monotonic() > deadline:
                raise RuntimeError(f"expected {records} records and no learner waiting, received {counts}, {waiting}")
            time.sleep(0.2)

    def state(self) -> dict[str, Any]:
        """Every key that a repeated log must leave as it is, by name, with all that it holds."""
        scores = self.command("engagement", "--json", "--at", "1790000000000")
        return {"scores": scores, **compared_keys(self.settings)}

    def learners(self) -> list[str]:
        """Ten learners, those with the most courses first."""
        lines = map(json.loads, self.command("engagement", "--json").splitlines())
        courses = Counter(line["user_id"] for line in lines)
        return sorted(courses, key=lambda user: (-courses[user], user))[:LEARNERS_SHOWN]

    def answer(self, user: str, *, courses: int = 10) -> dict[str, Any]:
        """The API's answer for a learner, of at most so many courses."""
        options = ("--n", str(courses), "--json")
        answer: dict[str, Any] = json.loads(self.command("recommend", "--user", user, *options))
        return answer


def shown(answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Course and score of each place."""
    return [(course["course_id"], course["score"]) for course in answer["recommendations"]]


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """What the commands are told."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "RECSYS_KAFKA_EMBEDDED": str(settings.kafka_embedded).lower(),
        "REDIS_URL": settings.redis_url,
        "RECSYS_MODELS_DIR": str(folder / "models"),
        "RECSYS_REPORTS_DIR": str(folder / "reports"),
        "RECSYS_SERVING_STATE_DIR": str(folder / "serving"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--learners", type=int, default=6_000)
    parser.add_argument("--courses", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drawn", action="store_true", help="a model with drawn weights instead of a trained one")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recsys-openedx-") as name, LocalKafka() as kafka, LocalRedis() as store:
        folder = Path(name)
        settings = load_settings(
            kafka_bootstrap_servers=kafka.bootstrap_servers, redis_url=store.url, models_dir=folder / "models"
        )
        site = make_site(courses=given.courses, learners=given.learners, seed=given.seed)
        replay = Replay(settings, folder, site, events=given.events, end_ms=time.time_ns() // 1_000_000)
        replay.command("topics", "--partitions", str(PARTITIONS))
        seen = replay.run(drawn=given.drawn)
    text = report(seen)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n")
    sys.exit(0 if seen.holds else 1)


if __name__ == "__main__":
    main()
