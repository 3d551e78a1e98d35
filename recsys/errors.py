"""Every error a caller may want to catch, and the exit status the command line gives it.

    RecsysError                 1
    ├── ConfigurationError      2   a setting or an option that cannot be
    │   ├── ListenerMismatch    2   Kafka's listener does not fit the security settings
    │   └── UntrustedCertificate 2  Kafka's certificate is not trusted
    ├── InputError              2   a file that is missing, unreadable or has the wrong columns
    ├── InvalidEvent            2   an event that is refused, with its closed-list reason
    ├── ServiceUnavailable      3   Kafka or Redis does not answer
    ├── WorkerIdTaken           4   another live worker holds this worker id
    ├── TopologyMismatch        4   Kafka and Redis disagree on the partition count
    ├── ForeignState            4   the state in Redis is another deployment's, group's or topic's
    ├── UnreadableState         4   a key in Redis holds what this release cannot read; no retry mends it
    │   ├── OutdatedState       4   an earlier release folded the state; `recsys rebuild` migrates it
    │   └── ShardDamaged        4   a commit was applied in part; `recsys rebuild` heals it
    ├── FinetuningError         5   the fine-tuner's checkpoint is refused, or its training process ended
    └── BundleError             5   a model bundle that is missing or does not verify
        ├── CandidateRejected   6   a trained model that did not pass the gate
        └── PointerMoved        7   another model was published since this one's parent was looked up

A message says what was expected, then what was received, on one line.
"""

from __future__ import annotations

from enum import StrEnum


class RecsysError(Exception):
    """Base of every error raised on purpose in this project."""

    exit_status = 1


class ConfigurationError(RecsysError):
    """A setting or an option has a value that cannot work."""

    exit_status = 2


class ListenerMismatch(ConfigurationError):
    """Kafka's listener does not fit the security settings, by how its connections end.

    A worker that is connected goes on: a network that cuts connections off looks much the same.
    """


class UntrustedCertificate(ConfigurationError):
    """Kafka's certificate is not trusted: it expired, is of another authority, or names another host.

    No process starts on it. A worker that is connected goes on and says so: its connections were verified when they
    were made, its client refuses new ones anyway, and once ended it could not come back until a person acts.
    """


class InputError(RecsysError):
    """A file given by the user is missing, unreadable or not of the documented form."""

    exit_status = 2


class ServiceUnavailable(RecsysError):
    """Kafka or Redis did not answer in the time allowed."""

    exit_status = 3


class WorkerIdTaken(RecsysError):
    """Another live worker runs under the same worker id."""

    exit_status = 4


class TopologyMismatch(RecsysError):
    """The partition count written in Redis differs from the topic's."""

    exit_status = 4


class ForeignState(RecsysError):
    """The state in Redis belongs to another deployment, consumer group or log than this process."""

    exit_status = 4


REBUILD = "run `recsys rebuild`, which folds the state anew from the topic"
"""What mends a shard's state, whatever is wrong with it."""

USE_NEWER_RELEASE = "use the release that wrote it"
"""What mends a value of a newer format."""


class UnreadableState(RecsysError):
    """A key in Redis holds what this release cannot read: another type, a corrupt value or a newer format.

    No retry mends it, so it is not `ServiceUnavailable`.

    Attributes:
        key: The Redis key.
        problem: What is wrong with it; never its value.
        remedy: What an operator does about it.
    """

    exit_status = 4

    def __init__(self, key: str, problem: str, *, remedy: str = REBUILD) -> None:
        super().__init__(f"Redis key {key!r} {problem}; {remedy}")
        self.key, self.problem, self.remedy = key, problem, remedy

    @property
    def rebuild_heals(self) -> bool:
        """Whether `recsys rebuild` mends it; else something else than the shard's state is wrong, a right say."""
        return self.remedy.startswith(REBUILD)

    @property
    def newer(self) -> bool:
        """Whether a newer release wrote the value, so that this one must not replace it."""
        return self.remedy == USE_NEWER_RELEASE


MIGRATE = (
    f"{REBUILD} into the next generation while workers of the earlier release go on, then replace these "
    "(docs/operations.md)"
)
"""What turns state of an earlier release into this one's."""


class OutdatedState(UnreadableState):
    """The state in Redis was folded by an earlier release, in a format that this one does not fold on.

    Attributes:
        partitions: The partition count that it is sharded by.
        generation: Of its shards.
        state_format: Its format.
    """

    def __init__(self, key: str, *, partitions: int, generation: int, state_format: int, folded_here: int) -> None:
        super().__init__(
            key,
            f"says that an earlier release folded the state (format {state_format}; this release folds {folded_here})",
            remedy=MIGRATE,
        )
        self.partitions, self.generation, self.state_format = partitions, generation, state_format


class ShardDamaged(UnreadableState):
    """A commit was applied in part: applying it again would count its sums twice. A rebuild fills the shard anew.

    Attributes:
        shard: The number in the shard's hash tag.
    """

    def __init__(self, shard: int, key: str, problem: str) -> None:
        super().__init__(key, f"ended a commit of shard {shard} that was applied in part ({problem})")
        self.shard = shard


class FinetuningError(RecsysError):
    """The fine-tuner cannot go on: its checkpoint cannot be used or written, or its training process ended."""

    exit_status = 5


class BundleError(RecsysError):
    """A model bundle is missing, incomplete or fails its hashes."""

    exit_status = 5


class CandidateRejected(BundleError):
    """A freshly trained model is worse than the one in use and was not published."""

    exit_status = 6


class PointerMoved(BundleError):
    """Another model was published meanwhile, so this one was compared with a model that is no longer in use."""

    exit_status = 7


class RefusalReason(StrEnum):
    """Why an event is refused: the closed list of `dlq.reason`."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    SCHEMA = "schema"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    BAD_ID = "bad_id"
    BAD_TIMESTAMP = "bad_timestamp"
    BEFORE_2000 = "before_2000"
    IN_THE_FUTURE = "in_the_future"
    BAD_VALUE = "bad_value"
    FOLD_FAILED = "fold_failed"
    CRASHED_WORKER = "crashed_worker"


class InvalidEvent(RecsysError):
    """An event is refused.

    Attributes:
        reason: One of the closed list.
        detail: What was expected, then what was received; safe to log (never the whole value).
    """

    exit_status = 2

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
