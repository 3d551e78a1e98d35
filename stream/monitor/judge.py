"""Judging: of each chunk of records, what would have been recommended just before each positive event.

What a learner's records and list were just before an event is still in the store only until a worker has applied it. So
the store is asked as soon as a chunk is fetched, and offsets decide what the answers are worth: records that were read
before the fence reached the event do not contain it, and a list says which offsets it contains. An event that a worker
was quicker with is counted as `late` and not judged; nothing of it leaks into a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recsys.errors import InvalidEvent
from recsys.events import Interaction
from recsys.exclusion import Exclusion
from recsys.handed_on import is_handed_on
from recsys.kafka.records import Record
from recsys.keys import Partition, Topology, murmur2, partition_of
from recsys.online_store import Listed, Lists, ShardStore, UserState
from recsys.prequential import TOP, hit, ndcg
from recsys.vocabulary import VOCABULARY, Kind
from stream.engagement.fold import decode_record
from stream.monitor.figures import CACHED, MODEL, POPULARITY, Drift, Figures, Score
from stream.monitor.popularity import Popularity

MOST_TRIALS = 32
"""Events judged of one chunk: each takes a ranking, and a chunk of a log that is caught up with holds thousands."""

_SHARES = 1 << 16


class MonitorStore(Lists, ShardStore, Protocol):
    """What the monitor reads of the online store."""


class WatchedModel(Protocol):
    """What is asked of the published model."""

    version: str
    catalogue: Any

    def rank(self, user_id: str, engagement: Mapping[str, float], *, at_ms: int, n: int, exclude: Any) -> Any:
        """As `Scorer.rank`."""
        ...

    def vector(self, course_id: str) -> Any:
        """The course's vector `(d,)`; None where the model has none."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One event to be judged."""

    event: Interaction
    offset: int
    arrival_ms: int


def is_positive(event: Interaction, weights: Mapping[str, float]) -> bool:
    """Whether an event says that the learner likes the course: it is no opposite, and weighs more than 0.

    A rating does where it is above the middle.
    """
    if VOCABULARY[event.type].kind not in (Kind.FLOW, Kind.STATE) or weights[event.type] <= 0:
        return False
    return event.type != "rate" or (event.value or 0.0) > 3.0  # noqa: PLR2004 - the middle of 1..5


def is_sampled(user_id: str, share: float) -> bool:
    """Whether a learner belongs to the sample: always the same ones, and those of a smaller share among them.

    By other bits of the hash than the partition's, so that every partition has its share.
    """
    return murmur2(b"monitor:" + user_id.encode()) % _SHARES < share * _SHARES


class Judge:
    """Turns chunks into figures.

    Args:
        store: The online store.
        model: The published model; None while none is loaded.
        topology: The shards in use.
        group: Consumer group of the workers; names the fences.
        weights: Type of event → weight.
        exclusion: What an answer leaves out.
        share: Share of learners whose events are judged, 0..1; popularity counts everybody's.
        popularity: The rival.
        now_ms: Wall clock, ms since 1970 UTC.
        count: Told of each positive event what became of it.
        figures: Where trials are added up.
        drift: Where drift is.
    """

    def __init__(
        self,
        store: MonitorStore,
        model: Callable[[], WatchedModel | None],
        topology: Topology,
        *,
        group: str,
        weights: Mapping[str, float],
        exclusion: Exclusion,
        share: float,
        popularity: Popularity,
        now_ms: Callable[[], int],
        count: Callable[[str], None],
        figures: Figures,
        drift: Drift,
    ) -> None:
        self._store, self._model, self._topology, self._group = store, model, topology, group
        self._weights, self._exclusion, self._share = weights, exclusion, share
        self._popularity, self._now_ms, self._count = popularity, now_ms, count
        self.figures, self.drift = figures, drift

    async def take(self, partition: Partition, records: Sequence[Record]) -> None:
        """Judges a chunk, then lets popularity learn from it.

        Raises:
            ServiceUnavailable: The store does not answer; popularity learned nothing then.
            UnreadableState: The shard holds what cannot be read.
        """
        positive = list(self._positive(partition, records))
        model = self._model()
        trials = {} if model is None else self._trials(positive, model)
        before = await self._read(partition, trials)
        for trial in positive:
            known = before.get(trial.event.user_id)
            if model is not None and known is not None and trials.get(trial.event.user_id) is trial:
                self._count(self._judge(trial, model, *known))
            self._popularity.add(trial.event.course_id, trial.event.timestamp)

    def _positive(self, partition: Partition, records: Iterable[Record]) -> Iterable[Trial]:
        for record in records:
            if record.headers and is_handed_on(record.headers):
                continue
            try:
                event = decode_record(record)
            except InvalidEvent:
                continue
            if (
                not isinstance(event, Interaction)
                or partition_of(event.user_id, self._topology.partitions) != partition
            ):
                continue  # a record that lies elsewhere comes again where it belongs
            if is_positive(event, self._weights):
                yield Trial(event, record.offset, record.timestamp)

    def _trials(self, positive: Iterable[Trial], model: WatchedModel) -> dict[str, Trial]:
        """The first positive event of each sampled learner: at later ones of a chunk the records lack the first."""
        trials: dict[str, Trial] = {}
        for trial in positive:
            user = trial.event.user_id
            if user in trials or not is_sampled(user, self._share):
                self._count("not_sampled")
            elif trial.event.course_id not in model.catalogue:
                self._count("unjoined")
            elif len(trials) == MOST_TRIALS:
                self._count("not_sampled")
            else:
                trials[user] = trial
        return trials

    async def _read(
        self, partition: Partition, trials: Mapping[str, Trial]
    ) -> Mapping[str, tuple[UserState, int | None, Listed]]:
        """Records, the fence that was read after them, and the lists."""
        if not trials:
            return {}
        shard, users = self._topology.shard(partition), list(trials)
        states = await self._store.user_states(shard, users)
        fence = await self._store.fence(shard, self._group)
        listed = [await self._store.listed(shard, self._group, user) for user in users]
        return {user: (state, fence, each) for user, state, each in zip(users, states, listed, strict=True)}

    def _judge(self, trial: Trial, model: WatchedModel, state: UserState, fence: int | None, listed: Listed) -> str:
        """Judges one event; returns what became of it."""
        if fence is not None and fence >= trial.offset:
            return "late"
        now_ms, course, user = self._now_ms(), trial.event.course_id, trial.event.user_id
        exclude = self._exclusion.excluded(state.done, state.engagement, at_ms=now_ms)
        if course in exclude:
            return "seen"
        ids, values = model.rank(user, state.engagement, at_ms=now_ms, n=TOP, exclude=exclude)
        scores = {MODEL: _score(ids, course), POPULARITY: _placed(self._popularity.place(course, exclude))}
        included = listed.included_offset
        if listed.top is not None and included is not None and included < trial.offset:
            scores[CACHED] = _score([each for each in listed.top.course_ids if each not in exclude], course)
        self.figures.add(scores, trial.arrival_ms)
        self.drift.add(model.version, values, model.vector(course), trial.arrival_ms)
        return "judged"


def _score(ranked: Sequence[str], course: str) -> Score:
    return Score(hit(ranked, course), ndcg(ranked, course))


def _placed(place: int | None) -> Score:
    if place is None or place > TOP:
        return Score(0.0, 0.0)
    ranked = ["", *[""] * TOP]
    ranked[place - 1] = "it"
    return _score(ranked, "it")
