"""Towers as of an instant: their examples, the popularity they are told, and training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np

from batch.encoding import EncodedEvents, Times
from batch.examples import TowerExamples, tower_examples
from batch.stages import Progress
from recsys.engagement import MS_PER_DAY
from recsys.model.course_features import log_share
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Floats, Rows
from recsys.model.tower_inputs import TowerInputs
from recsys.model.towers import OFFSET_DAYS, HybridTowers
from recsys.model.training import TowerTraining

OFFSET_BUCKETS = 50
FIRST_OFFSET = 0.02
"""Between this quantile of the events' times and the last lie the instants at which the popularity is told."""

MORE_EPOCHS_SHARE = 0.4
"""Epochs of towers that go on from earlier ones, as a share of those of new ones."""


@dataclass(frozen=True, slots=True)
class TowerFit:
    """Trains towers on events strictly before an instant.

    Attributes:
        encoded: Events in time order.
        features: Of the catalogue; which courses have an embedding of their own is decided by the instant.
        hyperparameters: Of towers and training.
        half_life_days: Of the engagement sums.
    """

    encoded: EncodedEvents
    features: CourseFeatures
    hyperparameters: HyperParameters
    half_life_days: float

    def before(self, at_ms: int, start: TowerTraining | None, progress: Progress) -> tuple[TowerTraining, list[float]]:
        """Towers that know what came before an instant, with their training, and the mean loss of each epoch.

        They stay as they were drawn, without any loss, where nobody liked a new course after an earlier one.

        Args:
            at_ms: The instant, ms since 1970 UTC.
            start: Earlier towers to go on from (they are changed), with fewer epochs; None for new ones.
            progress: Called after each step.
        """
        settings, features, epochs = self.hyperparameters, self._features_before(at_ms), self.hyperparameters.epochs
        if start is None:
            keras.utils.set_random_seed(settings.seed)  # initial weights
            towers = HybridTowers(settings, n_users=len(self.encoded.users), features=features)
            start = TowerTraining(towers, settings)
        else:
            start.towers.features = features
            epochs = max(1, round(epochs * MORE_EPOCHS_SHARE))
        examples = tower_examples(self.encoded, at_ms, settings, self.half_life_days)
        if examples is None:
            return start, []
        return start, start.run(self._inputs(examples, at_ms), epochs=epochs, progress=progress)

    def _features_before(self, at_ms: int) -> CourseFeatures:
        touched = np.zeros(len(self.encoded.courses), dtype=bool)
        touched[self.encoded.course[: int(np.searchsorted(self.encoded.time, at_ms))]] = True
        index = np.where(touched, np.arange(1, len(touched) + 1), 0).astype(np.int32)
        return replace(self.features, index=index)

    def _inputs(self, examples: TowerExamples, at_ms: int) -> TowerInputs:
        popularity, bucket = offsets(self.encoded, at_ms, examples.time)
        return TowerInputs(
            user=examples.user,
            rows=examples.rows,
            pools=examples.pools,
            strength=examples.strength,
            targets=examples.targets,
            known=examples.known,
            popularity=popularity,
            bucket=bucket,
        )


def offsets(encoded: EncodedEvents, before_ms: int, times: Times) -> tuple[Floats, Rows]:
    """What is told of popularity: only what was known at the begin of a time's bucket.

    Args:
        encoded: Events in time order.
        before_ms: Nothing at or after this is looked at.
        times: `(e,)`, ms since 1970 UTC.

    Returns:
        Log popularity by time bucket, course and half-life `(OFFSET_BUCKETS, n, len(OFFSET_DAYS))`, and the bucket of
        each time `(e,)`.
    """
    now = int(np.searchsorted(encoded.time, before_ms))
    liked = np.flatnonzero(encoded.weight[:now] > 0)
    course, time, n = encoded.course[liked], encoded.time[liked], len(encoded.courses)
    until = encoded.until[liked]
    starts = np.quantile(time, np.linspace(FIRST_OFFSET, 1.0, OFFSET_BUCKETS))
    table = np.empty((OFFSET_BUCKETS, n, len(OFFSET_DAYS)), np.float32)
    for bucket, at in enumerate(starts):
        known = np.flatnonzero(until[: int(np.searchsorted(time, at))] >= at)
        age = (at - time[known]) / MS_PER_DAY
        counts = [np.bincount(course[known], np.exp2(-age / days), minlength=n) for days in OFFSET_DAYS]
        table[bucket] = log_share(np.stack(counts).astype(np.float64)).T  # of nothing, bincount gives integers
    return table, np.clip(np.searchsorted(starts, times, side="right") - 1, 0, OFFSET_BUCKETS - 1).astype(np.int32)
