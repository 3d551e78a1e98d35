"""The gate: worse is refused, unknown is published, and losses that cannot be shown do not add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from batch.evaluation.gate import (
    GOLDEN_TOLERANCE,
    LAST_PUBLISHED,
    Comparison,
    GoldenComparison,
    Verdict,
    judge_golden,
    judge_newest,
)
from batch.metrics import Interval


def against(mean: float, low: float, high: float, version: str = "current") -> Comparison:
    return Comparison(version, 104, Interval(mean, low, high))


def judged(*newest: Comparison, fallback: bool = False, unseen: str = "") -> Verdict:
    return judge_newest("current", newest, fallback=fallback, unseen=unseen)


def test_a_comparison_without_power_freezes_nothing() -> None:
    """Seen on MARS: +.0020 (95 % −.0226 … +.0293) was refused, because −.0226 lay below −10 % of the level."""
    verdict = judged(against(0.0020, -0.0226, 0.0293))
    assert verdict.passed
    assert "not shown to be worse, so the newer one is published" in verdict.reason
    assert "NDCG@10 +0.0020 (95 % -0.0226 … +0.0293) against current, 104 learners" in verdict.reason


def test_what_is_shown_to_be_worse_than_the_model_in_use_is_refused() -> None:
    verdict = judged(against(-0.03, -0.05, -0.01))
    assert not verdict.passed
    assert "shown to be worse" in verdict.reason


def test_what_is_shown_to_be_worse_than_any_of_the_last_published_is_refused() -> None:
    verdict = judged(against(-0.002, -0.02, 0.02), against(-0.03, -0.05, -0.01, "older"))
    assert not verdict.passed
    assert "against older" in verdict.reason


def test_without_new_learners_the_newer_one_is_published_and_it_is_said_why() -> None:
    verdict = judged(unseen="3 learners with a history took something new since it was trained (30 needed)")
    assert verdict.passed
    assert "not compared with current on new events: 3 learners" in verdict.reason


@pytest.mark.parametrize("newest", [[], [against(-0.001, -0.02, 0.02)], [against(0.01, -0.001, 0.02)]])
def test_a_baseline_does_not_replace_a_model_that_is_not_shown_to_be_worse(newest: Sequence[Comparison]) -> None:
    verdict = judged(*newest, fallback=True, unseen="3 learners")
    assert not verdict.passed
    assert "a baseline replaces current only where it is shown to be better" in verdict.reason


def test_a_baseline_replaces_a_model_it_is_shown_to_beat_and_is_published_where_there_is_none() -> None:
    assert judged(against(0.02, 0.01, 0.03), fallback=True).passed
    assert judge_newest(None, [], fallback=True).passed


def golden(mean: float, low: float, high: float, learners: int = 200) -> GoldenComparison:
    return GoldenComparison("best", 0.100, learners, Interval(mean, low, high))


def test_the_golden_slice_bounds_what_the_newest_one_cannot_tell() -> None:
    unknown, better = judged(against(0.0, -0.02, 0.02)), judged(against(0.02, 0.01, 0.03))
    shown, small, untold = golden(-0.02, -0.03, -0.01), golden(-0.009, -0.012, -0.006), golden(-0.02, -0.05, 0.01)
    assert not judge_golden(unknown, shown).passed
    assert "a loss of more than 10% is shown: golden slice of 200 learners" in judge_golden(unknown, shown).reason
    assert judge_golden(unknown, small).passed
    assert judge_golden(unknown, untold).passed
    assert judge_golden(better, shown).passed
    assert judge_golden(unknown, golden(-0.02, -0.03, -0.01, learners=29)).passed
    assert judge_golden(unknown, None) is unknown


def test_a_gain_over_the_model_in_use_alone_does_not_excuse_a_loss_against_the_best() -> None:
    verdict = judged(against(0.02, 0.01, 0.03), against(-0.01, -0.02, 0.001, "best"))
    assert verdict.passed
    assert not judge_golden(verdict, golden(-0.02, -0.03, -0.01)).passed


GOLDEN_LEARNERS = 400


@dataclass
class World:
    """Published models with a true quality each; slices measure it with the noise of their size.

    Models differ by .15 a learner on the newest slice, where they are months of training apart, and by .03 on the
    golden one, where the same recipe gives nearly the same lists.
    """

    learners: int
    seed: int
    published: list[float] = field(default_factory=lambda: [0.100])
    golden_best: float = 0.100

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def publish(self, quality: float) -> bool:
        """Whether a candidate of this quality gets through the gate."""
        versions = range(len(self.published))[-1 : -LAST_PUBLISHED - 2 : -1]
        newest = [self._compare(str(version), quality, self.published[version]) for version in versions]
        verdict = judge_newest(newest[0].version, newest, fallback=False)
        measured = self._interval(quality - self.golden_best, 0.03, GOLDEN_LEARNERS)
        verdict = judge_golden(verdict, GoldenComparison("best", self.golden_best, GOLDEN_LEARNERS, measured))
        if verdict.passed:
            self.published.append(quality)
            self.golden_best = quality if verdict.proves_gain else max(quality, self.golden_best)
        return verdict.passed

    def _interval(self, difference: float, noise: float, learners: int) -> Interval:
        values = difference + self.rng.normal(scale=noise, size=learners)
        mean, error = float(values.mean()), float(values.std()) / np.sqrt(learners)
        return Interval(mean, mean - 1.96 * error, mean + 1.96 * error)

    def _compare(self, version: str, mine: float, theirs: float) -> Comparison:
        return Comparison(version, self.learners, self._interval(mine - theirs, 0.15, self.learners))


@pytest.mark.parametrize("learners", [40, 300, 1500])
@pytest.mark.parametrize("loss", [0.01, 0.03, 0.09])
def test_twenty_publishes_of_slightly_worse_candidates_stay_within_the_tolerance(learners: int, loss: float) -> None:
    """Each candidate is a little worse than the model in use, too little to be shown. The losses must not add up."""
    for seed in range(5):
        world = World(learners, seed)
        for _ in range(20):
            world.publish(world.published[-1] * (1 - loss))
        best, last = max(world.published), world.published[-1]
        chance = 3 * 0.03 / np.sqrt(GOLDEN_LEARNERS)  # of the measurement
        assert last >= (1 - GOLDEN_TOLERANCE) * best - chance
        assert len(world.published) > 1 or loss > 0.05  # the first small losses pass: nothing can tell them


def test_the_rule_of_one_comparison_alone_would_let_them_add_up() -> None:
    """What the two bounds are for: without them the same twenty candidates end far below the tolerance."""
    world = World(300, 0)
    quality = 0.100
    for _ in range(20):
        candidate = quality * 0.97
        if judge_newest("current", [world._compare("current", candidate, quality)], fallback=False).passed:
            quality = candidate
    assert quality < (1 - GOLDEN_TOLERANCE) * 0.100


def test_twenty_equal_candidates_on_few_learners_are_nearly_all_published() -> None:
    """No freeze: with 60 learners the interval never tells, and new models still come through."""
    passed = [World(60, seed).publish(0.100) for seed in range(100)]
    assert sum(passed) >= 90
