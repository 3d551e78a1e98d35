"""What an erasure does and leaves, as a receipt. Reads; never writes.

A receipt names every place that may hold what a learner did, and until when: Redis, the topics with the learner's key,
the dead letters, the bundles, and the memory of processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from recsys.dead_letters import DeadLetter
from recsys.model.retention import bundle_versions
from recsys.online_store.redis.holdings import Holdings

RETENTION, SEGMENT, POLICY, UNLIMITED = "retention.ms", "segment.ms", "cleanup.policy", -1


@dataclass(frozen=True, slots=True)
class KeptTopic:
    """A topic that may hold records of the learner.

    Attributes:
        topic: Its name.
        kept_until_ms: When Kafka has deleted every record that is in it now, at the latest, ms since 1970 UTC; None
            where it keeps them without limit, or does not say.
        because: The configuration that says so.
    """

    topic: str
    kept_until_ms: int | None
    because: str


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter with bytes of the learner.

    Attributes:
        partition: Of the dead-letter topic.
        offset: In it.
        reason: Why it was refused.
        appended_ms: When, ms since 1970 UTC.
        kept_until_ms: As in `KeptTopic`, for this record.
    """

    partition: int
    offset: int
    reason: str
    appended_ms: int
    kept_until_ms: int | None


@dataclass(frozen=True, slots=True)
class KeptBundle:
    """A model bundle with a row of the learner: an embedding, and the id.

    Attributes:
        version: Its version.
        state: `current`, `previous` or "".
    """

    version: str
    state: str


@dataclass(frozen=True, slots=True)
class EraseEvent:
    """The event that erases, acknowledged by all replicas.

    Attributes:
        topic: Where it was sent.
        partition: Of that topic.
        offset: In it.
        event_id: Its id.
        timestamp: Events of the learner up to this time are nothing, whenever they arrive; ms since 1970 UTC.
    """

    topic: str
    partition: int
    offset: int
    event_id: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure did, or would do.

    Attributes:
        user_id: The learner.
        executed: False for a dry run.
        at_ms: When the receipt was written, ms since 1970 UTC.
        event: The erase event; None in a dry run.
        folded: Whether the workers have applied it.
        held: What Redis held before.
        left: What Redis holds now: nothing but the register of the erasure. None in a dry run, and while not folded.
        topics: Topics whose records of the learner only Kafka's retention deletes. The state is never folded from them
            again: the erase event lies in the same log.
        dead_letters: Dead letters with bytes of the learner.
        bundles: Model bundles with a row of the learner; the next retrain writes one without.
        cached_seconds: How long the memory of API processes that answer others may still hold the learner's list and
            done courses.
    """

    user_id: str
    executed: bool
    at_ms: int
    event: EraseEvent | None
    folded: bool
    held: Holdings
    left: Holdings | None
    topics: tuple[KeptTopic, ...]
    dead_letters: tuple[KeptLetter, ...]
    bundles: tuple[KeptBundle, ...]
    cached_seconds: float


def kept_topic(topic: str, configuration: Mapping[str, str], *, newest_ms: int) -> KeptTopic:
    """Until when a topic keeps what is in it.

    Args:
        topic: Its name.
        configuration: Of the topic; empty where the broker does not say.
        newest_ms: No record of the learner is newer, ms since 1970 UTC.
    """
    if "delete" not in configuration.get(POLICY, "delete"):
        return KeptTopic(topic, None, f"{POLICY} is {configuration[POLICY]}: the newest record of a key stays")
    retention, segment = (_milliseconds(configuration, name) for name in (RETENTION, SEGMENT))
    if retention is None or segment is None:
        return KeptTopic(topic, None, f"the broker does not say its {RETENTION}")
    if retention == UNLIMITED:
        return KeptTopic(topic, None, f"{RETENTION} is unlimited")
    # Kafka deletes whole segments: the newest record of one may be a segment younger than this learner's.
    return KeptTopic(topic, newest_ms + retention + segment, f"{RETENTION} {retention} + {SEGMENT} {segment}")


def _milliseconds(configuration: Mapping[str, str], name: str) -> int | None:
    text = configuration.get(name, "")
    return int(text) if text.lstrip("-").isdigit() else None


def kept_letters(letters: Iterable[DeadLetter], user_id: str, configuration: Mapping[str, str]) -> Iterator[KeptLetter]:
    """The dead letters with bytes of a learner.

    Args:
        letters: All of them.
        user_id: The learner.
        configuration: Of the dead-letter topic; empty where the broker does not say.
    """
    spellings = _spellings(user_id)
    for letter in letters:
        if _names(letter, user_id, spellings):
            until = kept_topic("", configuration, newest_ms=letter.appended_ms).kept_until_ms
            yield KeptLetter(letter.partition, letter.offset, letter.reason, letter.appended_ms, until)


def _spellings(user_id: str) -> tuple[bytes, ...]:
    """An id as JSON may have it: the bytes of a refused record are searched, because they need not be JSON."""
    return tuple({json.dumps(user_id, ensure_ascii=ascii_only).encode() for ascii_only in (True, False)})


def _names(letter: DeadLetter, user_id: str, spellings: tuple[bytes, ...]) -> bool:
    plain, value = user_id.encode(), letter.value or b""
    if letter.key == plain or any(content == plain for _, content in letter.headers):
        return True
    return any(spelling in value for spelling in spellings)


def kept_bundles(models_dir: Path, user_id: str, *, current: str | None, previous: str | None) -> list[KeptBundle]:
    """The bundles that have a row of a learner.

    Args:
        models_dir: Where the bundles are.
        user_id: The learner.
        current: Version of the published model; None where none is.
        previous: Of the one before it.
    """
    states = {version: state for version, state in ((previous, "previous"), (current, "current")) if version}
    found = []
    for version in bundle_versions(models_dir):
        try:
            users = msgspec.json.decode((models_dir / version / "users.json").read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError):  # one that is being deleted, or is damaged: nothing loads it
            continue
        if user_id in users:
            found.append(KeptBundle(version, states.get(version, "")))
    return found
