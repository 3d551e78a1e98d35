"""The ladder: which rung answers, best first.

Cached top-N in Redis → the list this process last saw → ranking from the loaded bundle → trending →
`NothingToRecommend`. A rung that fails is counted and passed by. So is a list of another model than the published one:
it was computed before a publish or a rollback, or by a worker that lags behind. An increment alone has lists served
that it did not rank, those of the versions that it follows, and the answer names the version that did. A list that the
filters leave too short gives way to a rung that can fill the answer; lists of two versions are never mixed into one
answer. Where a request names an event (`after_offset`), a list without it gives way to a ranking from the state that
has it; where it names none, so does a list that is out of date, as long as there is time. One class: what decides is
the order of the rungs, and it is read at one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial

import structlog
from msgspec.structs import replace

from recsys.catalog import Course
from recsys.engagement import relative_to_first
from recsys.exclusion import Exclusion
from recsys.model.follower import ModelFollower
from serving.errors import NothingToRecommend
from serving.metrics import Metrics
from serving.recommend.answers import Recommendations, Source, TrendingCourses
from serving.recommend.experiments import variants_of
from serving.recommend.learner import Learner, Learners
from serving.recommend.list_age import Need, need_of_ranking
from serving.recommend.loaded import LoadedModel
from serving.recommend.offset_wait import OffsetWait, contains
from serving.recommend.query import After, Query
from serving.recommend.ranking import Picked, Ranking, pick
from serving.recommend.ranking_times import RankingTimes
from serving.recommend.trending import LatestTrending

ClockMs = Callable[[], int]

_log = structlog.get_logger(__name__)


class Ladder:
    """Answers queries.

    Args:
        learners: What is known of each learner.
        models: The model in use.
        trending: The latest trending list.
        experiments: Experiment → variant → share.
        metrics: Where answers are counted.
        clock: ms since 1970 UTC.
        exclusion: What an answer leaves out.
        offset_wait: How the event that a request names is waited for.
        ranking_times: Of the rankings made here.
    """

    def __init__(
        self,
        learners: Learners,
        models: ModelFollower[LoadedModel],
        trending: LatestTrending,
        experiments: Mapping[str, Mapping[str, float]],
        metrics: Metrics,
        clock: ClockMs,
        exclusion: Exclusion = Exclusion(),  # noqa: B008 (immutable)
        *,
        offset_wait: OffsetWait,
        ranking_times: RankingTimes,
    ) -> None:
        self._exclusion, self._offset_wait, self._ranking_times = exclusion, offset_wait, ranking_times
        self._learners = learners
        self._models = models
        self._trending = trending
        self._experiments = experiments
        self._metrics = metrics
        self._clock = clock

    async def recommend(self, query: Query) -> Recommendations:
        """The answer for one learner.

        Raises:
            NothingToRecommend: No rung can answer.
        """
        now_ms = self._clock()
        model = self._models.current  # read once: one answer, one version
        learner = await self._find(query, model, now_ms)
        picked = await self._climb(query, learner, model, now_ms)
        if picked is None:
            raise NothingToRecommend("there is no cached list, no model and no trending to answer from")
        ranking = picked.ranking
        age_s = _age_seconds(ranking.computed_at_ms, self._clock())  # it may have been computed while this waited
        fresh = None if query.after is None else contains(ranking.included_offset, learner.partition, query.after)
        if query.after is not None:
            self._count_freshness(query.after, learner, ranking, age_s, fresh=bool(fresh))
        if self._is_older_list(ranking):
            self._metrics.older_lists.inc()
        self._metrics.recommendations.labels(ranking.source).inc()
        self._metrics.answer_age_seconds.observe(age_s)
        return Recommendations(
            user_id=query.user_id,
            recommendations=picked.courses,
            model_version=ranking.model_version,
            computed_at=_utc(ranking.computed_at_ms),
            age_seconds=age_s,
            source=ranking.source,
            variants=variants_of(self._experiments, query.user_id),
            partition=learner.partition,
            included_offset=ranking.included_offset,
            fresh=fresh,
        )

    def trending(self, n: int) -> TrendingCourses:
        """What everybody engages with; until anybody has, the bundle's ranking for an unknown learner.

        Raises:
            NothingToRecommend: Neither is there.
        """
        now_ms = self._clock()
        model = self._models.current
        query = Query(user_id="", n=n)
        picked = self._from_trending(query, frozenset(), model)
        if (picked is None or not picked.courses) and model is not None:
            picked = self._ranked(query, {}, frozenset(), model, now_ms) or picked
        if picked is None:
            raise NothingToRecommend("there is neither trending nor a model to answer from")
        ranking = picked.ranking
        return TrendingCourses(
            courses=picked.courses,
            model_version=ranking.model_version,
            computed_at=_utc(ranking.computed_at_ms),
            age_seconds=_age_seconds(ranking.computed_at_ms, now_ms),
            source=ranking.source,
        )

    async def _find(self, query: Query, model: LoadedModel | None, now_ms: int) -> Learner:
        find = partial(self._learners.find, query.user_id, now_ms=now_ms)
        if query.after is None:
            return await find()
        ranking_s = math.inf if model is None else self._ranking_times.mean_s
        with self._metrics.after_offset_seconds.time():
            return await self._offset_wait.until_contained(query.after, find, ranking_s=ranking_s)

    def _count_freshness(self, after: After, learner: Learner, ranking: Ranking, age_s: float, *, fresh: bool) -> None:
        comparable = learner.partition is not None and after.partition in (None, learner.partition)
        if not fresh:
            outcome = "late" if comparable else "unknown"
        elif ranking.source is Source.MODEL:
            outcome = "ranked"
        else:
            outcome = "list"
            self._metrics.freshness_seconds.labels("served").observe(age_s)
        self._metrics.after_offset.labels(outcome).inc()

    async def _climb(self, query: Query, learner: Learner, model: LoadedModel | None, now_ms: int) -> Picked | None:
        published = self._models.published
        cached = self._from_cache(query, learner, model, now_ms)
        full = cached if cached is not None and len(cached.courses) == query.n else None
        need = Need.NONE if model is None else need_of_ranking(learner, query.after, model.version, published, now_ms)
        if full is not None and not self._may_rank(need):
            return full
        engagement = await self._learners.engagement(query.user_id, learner)
        if full is not None and (engagement is None or not self._may_rank(need)):
            return full  # better than a ranking for an unknown learner; or another request has ranked meanwhile
        exclude = query.exclude | self._exclusion.excluded(learner.done, engagement or (), at_ms=now_ms)
        if model is not None:
            included = None if engagement is None else learner.fence
            ranked = self._ranked(query, engagement or {}, exclude, model, now_ms, included)
            if ranked is not None:  # it has ranked the whole catalogue: no rung below knows more courses
                return ranked
        trending = self._from_trending(query, exclude, model)
        if cached is None or (trending is not None and len(trending.courses) > len(cached.courses)):
            return trending
        return cached

    def _from_cache(self, query: Query, learner: Learner, model: LoadedModel | None, now_ms: int) -> Picked | None:
        top, published = learner.top, self._models.published
        if top is None:
            return None
        if published is not None and not published.serves(top.model_version):
            self._metrics.outdated_lists.inc()
            return None
        ranking = Ranking(
            learner.source,
            top.model_version,
            top.computed_at_ms,
            top.course_ids,
            top.scores,
            learner.included_offset,
        )
        # A list in Redis already leaves out what its learner had seen; what they finished since is left out here.
        exclude = query.exclude | {course for course, until in learner.done.items() if until > now_ms}
        return _picked(ranking, query, exclude, None if model is None else model.courses)

    def _is_older_list(self, ranking: Ranking) -> bool:
        published = self._models.published
        is_list = ranking.source in (Source.CACHED, Source.PROCESS_CACHE)
        return is_list and published is not None and ranking.model_version != published.version

    def _may_rank(self, need: Need) -> bool:
        return need is Need.REQUIRED or (need is Need.OPTIONAL and self._ranking_times.allow_optional())

    def _ranked(
        self,
        query: Query,
        engagement: Mapping[str, float],
        exclude: AbstractSet[str],
        model: LoadedModel,
        now_ms: int,
        included_offset: int | None = None,
    ) -> Picked | None:
        try:
            with self._ranking_times.measured():
                ids, scores = model.rank(
                    query.user_id, engagement, at_ms=now_ms, n=query.n, exclude=exclude, attributes=query.attributes
                )
        except Exception:  # noqa: BLE001 (logged and counted; see below)
            # Whatever a model does, the rungs below must have their turn.
            _log.exception("ranking_failed", version=model.version)
            self._metrics.rung_failures.labels(Source.MODEL).inc()
            return None
        ranking = Ranking(Source.MODEL, model.version, now_ms, ids, scores, included_offset)
        return pick(ranking, n=query.n, exclude=exclude, attributes=query.attributes, catalogue=model.courses)

    def _from_trending(self, query: Query, exclude: AbstractSet[str], model: LoadedModel | None) -> Picked | None:
        snapshot = self._trending.snapshot
        if snapshot is None:
            return None
        trending = snapshot.trending
        ranking = Ranking(self._trending.source, None, trending.computed_at_ms, trending.course_ids, trending.scores)
        # Without a model, the titles of the day the snapshot was taken are better than none.
        catalogue = (snapshot.courses or None) if model is None else model.courses
        picked = _picked(ranking, query, exclude, catalogue)
        return None if picked is None else _relative(picked)


def _picked(
    ranking: Ranking, query: Query, exclude: AbstractSet[str], catalogue: Mapping[str, Course] | None
) -> Picked | None:
    return pick(ranking, n=query.n, exclude=exclude, attributes=query.attributes, catalogue=catalogue)


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _age_seconds(computed_at_ms: int, now_ms: int) -> float:
    return max(0, now_ms - computed_at_ms) / 1000


def _relative(picked: Picked) -> Picked:
    """The same with scores relative to the first course that is left, whoever wrote the list."""
    scores = relative_to_first([course.score for course in picked.courses])
    courses = [replace(course, score=score) for course, score in zip(picked.courses, scores, strict=True)]
    return Picked(picked.ranking, courses)
