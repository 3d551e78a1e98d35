"""A stage: Kafka, a Redis of its own, topics, workers and a load, for one case."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.local_redis import LocalRedis
from infra.operator.topics import ensure_topics
from recsys.events import Interaction
from recsys.keys import KeySpace
from recsys.settings import load_settings
from tests.faults.fleet import Fleet
from tests.faults.load import Load
from tests.faults.oracle import fold_topic
from tests.faults.producing import LoadProducer
from tests.faults.state import read_counts, read_fences, read_state
from tests.faults.topic import DeadLetter, LogRecord, as_dead_letter, log_ends, read_topic
from tests.faults.verdict import Verdict, judge

PARTITIONS = 6
POLL_S = 0.05
FULL_RATE = 2500.0
SLOWEST = 0.2
LAG_LIMIT_S = 2.0
CATCH_UP_S = 180.0


class Stage:
    """Everything one case needs; its faults are the case's own business.

    Args:
        kafka: A running broker, shared by cases.
        folder: For logs.
        seed: Of everything random.
        scale: Factor of the load and of the number of faults; 1.0 is the full case.
        mutant: A safeguard that every worker lacks (`tests/doubles/mutant_worker.py`); None for the real worker.
        old_ref: The git ref of the old version (T23); empty for the one the case names.
        session_timeout_s: Of the workers' membership in the group; None for the default.

    Attributes:
        keys: How keys are spelled in Redis.
        servers: Bootstrap servers of the Kafka that the case runs on.
        expired: Partition → offsets that retention deleted before they were applied.
        also_refused: Valid events that must become dead letters in this case.
        old_workers: Whether workers of an older version fold a part of the records (T23).
        kept: Records and dead letters read before the case deleted them.
    """

    def __init__(
        self,
        kafka: LocalKafka,
        folder: Path,
        *,
        seed: int,
        scale: float,
        mutant: str | None = None,
        old_ref: str = "",
        session_timeout_s: float | None = None,
    ) -> None:
        self.kafka, self.folder, self.scale, self.mutant = kafka, folder, scale, mutant
        self.servers = kafka.bootstrap_servers
        self.seed, self.old_ref = seed, old_ref
        self._worker_settings: dict[str, object] = (
            {} if session_timeout_s is None else {"worker_session_timeout_seconds": session_timeout_s}
        )
        self.session_timeout_s = session_timeout_s or load_settings().worker_session_timeout_seconds
        self.rng = random.Random(seed)
        self.run = secrets.token_hex(4)
        self.topic, self.dead_letter_topic = f"interactions-{self.run}", f"interactions-{self.run}.dlq"
        self.group = f"engagement-{self.run}"
        self.redis = LocalRedis(folder / "redis")
        self.keys = KeySpace()
        self.expired: dict[int, range] = {}
        self.also_refused: Callable[[Interaction], bool] = lambda _: False
        self.old_workers = False
        self.kept: list[LogRecord] = []
        self.kept_letters: list[DeadLetter] = []
        self.load: LoadProducer | None = None
        self.log_ends: dict[int, int] = {}

    def environment(self, **settings: object) -> dict[str, str]:
        """The environment of `recsys` commands on this stage; keyword arguments are `RECSYS_` settings."""
        named = {
            "interactions_topic": self.topic,
            "dead_letter_topic": self.dead_letter_topic,
            "courses_topic": f"courses-{self.run}",
            "exposures_topic": f"exposures-{self.run}",
            "consumer_group": self.group,
            "models_dir": self.folder / "models",
            "serving_state_dir": self.folder / "serving",
            "log_format": "json",
            "redis_key_prefix": self.keys.prefix,
            **self._worker_settings,
            **settings,
        }
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "REDIS_URL": self.redis.url,
            "PYTHONPATH": str(Path.cwd()),
            **{f"RECSYS_{name.upper()}": str(value) for name, value in named.items()},
        }

    def __enter__(self) -> Self:
        self.redis.start()
        self.client = redis.Redis(port=self.redis.port, socket_timeout=5.0, retry=Retry(NoBackoff(), 1))
        self._make_topics()
        self.fleet = Fleet(self.environment(), self.folder, mutant=self.mutant)
        return self

    def _make_topics(self) -> None:
        settings = load_settings(
            kafka_bootstrap_servers=self.servers,
            interactions_topic=self.topic,
            dead_letter_topic=self.dead_letter_topic,
            courses_topic=f"courses-{self.run}",
            exposures_topic=f"exposures-{self.run}",
        )
        ensure_topics(settings, PARTITIONS)

    def spell_keys_as(self, prefix: str) -> None:
        """Has workers and oracle use another prefix, before anything is written."""
        self.keys = KeySpace(prefix)
        self.fleet.environment |= {"RECSYS_REDIS_KEY_PREFIX": prefix}

    def move_to(self, servers: str) -> None:
        """Runs the case on another Kafka, before its load and workers start."""
        self.servers = servers
        self._make_topics()
        self.fleet.environment |= {"KAFKA_BOOTSTRAP_SERVERS": servers}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.load is not None:
            self.load.abandon()
        self.fleet.stop()
        self.client.close()
        self.redis.close()

    def rate(self) -> float:
        """Records a second of the base load; less in a small run, which shares its machine with other tests."""
        return FULL_RATE * min(1.0, max(SLOWEST, self.scale))

    def times(self, full: int, least: int = 1) -> int:
        """How often to do what the full case does `full` times."""
        return max(least, round(full * self.scale))

    def down_s(self) -> float:
        """How long a service stays away: 60 s, never below 20 s, which is what a worker retries for."""
        return max(20.0, 60.0 * min(1.0, self.scale))

    def start_load(self, *, rate: float, events: int, **load: Any) -> LoadProducer:
        """Starts a load of at least `events` × scale records; it goes on until it is told to finish."""
        self.load = LoadProducer(
            self.servers,
            self.topic,
            Load(self.seed, PARTITIONS, rate, time.time_ns() // 1_000_000, **load),
            at_least=int(events * self.scale),
            start_at=self.log_ends,
        )
        self.load.start()
        return self.load

    def finish_load(self) -> None:
        """Ends the load; all of it is acknowledged then."""
        assert self.load is not None
        self.load.finish()
        self.log_ends = dict(self.load.log_ends)

    def wait(self, seconds: float) -> None:
        """Lets a fault last; supervision goes on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.fleet.supervise()
            time.sleep(POLL_S)

    def wait_until(self, reached: Callable[[], bool], *, within_s: float, what: str) -> float:
        """Polls to a deadline while the supervisor works; returns how long it took.

        Raises:
            TimeoutError: It was not reached.
            RuntimeError: The load ended early; nothing more would happen.
        """
        began = time.monotonic()
        while not reached():
            if self.load is not None and self.load.failed:
                raise RuntimeError(f"expected a load that goes on, received {self.load.failed[:3]}")
            if time.monotonic() - began > within_s:
                raise TimeoutError(f"expected {what} within {within_s:g} s, received none of it")
            self.fleet.supervise()
            time.sleep(POLL_S)
        return time.monotonic() - began

    def fences(self) -> dict[int, int | None] | None:
        """Partition → last applied offset; None while Redis does not answer."""
        try:
            return read_fences(self.client, self.group, PARTITIONS, self.keys)
        except (redis.RedisError, OSError):
            return None

    def start_redis(self) -> None:
        """Starts Redis and returns when it has read its file; INFO, which `LocalRedis` asks for, answers before."""
        self.redis.start()
        self.wait_until(lambda: self.fences() is not None, within_s=60.0, what="a Redis that has loaded its file")

    def applied(self) -> int:
        """Records the state says it has applied; -1 while Redis does not answer."""
        try:
            return sum(read_counts(self.client, PARTITIONS, self.keys).values())
        except (redis.RedisError, OSError):
            return -1

    def lag_s(self) -> float:
        """The highest lag of all partitions in seconds; infinite while Redis does not answer."""
        fences = self.fences()
        if fences is None or self.load is None:
            return float("inf")
        return max(self.load.lag_s(partition, fence) for partition, fence in fences.items())

    def fences_move(self, before: Mapping[int, int | None] | None = None) -> Callable[[], bool]:
        """A condition: every partition's fence moved since now."""
        start = self.fences() or {} if before is None else before

        def moved() -> bool:
            now = self.fences()
            return now is not None and all(now[p] not in (None, start.get(p)) for p in range(PARTITIONS))

        return moved

    def recover(self, limit_s: float, *, patience_s: float = CATCH_UP_S) -> float:
        """Waits until the lag is below `LAG_LIMIT_S`; returns after how many seconds, be it more than `limit_s`."""
        return self.wait_until(
            lambda: self.lag_s() < LAG_LIMIT_S, within_s=max(limit_s, patience_s), what=f"a lag below {LAG_LIMIT_S:g} s"
        )

    def drain(self, *, within_s: float = CATCH_UP_S) -> float:
        """Waits until every fence stands at the log's end, rerouted records included; returns how long it took."""

        def drained() -> bool:
            if self.lag_s() > 0.0:  # cheap, and false until near the end
                return False
            ends = log_ends(self.servers, self.topic)
            fences = self.fences()
            return fences is not None and all((-1 if (at := fences[p]) is None else at) + 1 >= ends[p] for p in ends)

        began = time.monotonic()
        for _ in range(2):  # what is rerouted in the first turn is a new record
            self.wait_until(drained, within_s=within_s, what="fences at the log's end")
        return time.monotonic() - began

    def verdict(self) -> Verdict:
        """Folds the topic and compares; every worker is stopped first, so that nothing moves."""
        servers = self.servers
        found = {(one.partition, one.offset): one for one in [*self.kept, *read_topic(servers, self.topic)]}
        letters = [as_dead_letter(record) for record in read_topic(servers, self.dead_letter_topic)]
        expected = fold_topic(found.values(), PARTITIONS, also_refused=self.also_refused, expired=self.expired)
        have = read_state(self.client, self.group, PARTITIONS, self.keys)
        verdict = judge(expected, have, [*self.kept_letters, *letters], old_workers=self.old_workers)
        for line in self.fleet.unexpected():
            verdict.differs(line)
        return verdict
