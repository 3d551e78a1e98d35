"""Verdicts: what is shown to be worse is rejected, what is not better waits; lists are ranked where they decide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import REGISTRY

from stream.finetuning.gate import GateRules, Outcome, Trial, Verdict, agreement_of, judge
from stream.finetuning.metrics import show_verdict

RULES = GateRules(events=20, moved=0.01, agreement=0.2)


def trial(differences: list[float]) -> Trial:
    found = Trial()
    for at_ms, difference in enumerate(differences, 1):
        found = found.added(0.5 + difference, 0.5, at_ms)
    return found


def verdict(
    newest: Trial,
    *,
    finite: bool = True,
    agreement: Callable[[], float] = lambda: 0.5,
    old: Callable[[], tuple[float, float] | None] = lambda: None,
) -> Verdict:
    return judge(RULES, newest, Trial(), finite=finite, agreement=agreement, old=old)


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        ([0.1] * 10, Outcome.WAITING),
        ([0.1, -0.05] * 15, Outcome.PASSED),
        ([0.1, -0.09] * 15, Outcome.WAITING),
        ([0.1, -0.09] * 500, Outcome.PASSED),
        ([-0.1, 0.09] * 15, Outcome.WAITING),
        ([-0.1, -0.09] * 15, Outcome.REJECTED),
    ],
)
def test_what_is_shown_to_be_worse_is_rejected_and_what_is_shown_to_be_better_passes(
    differences: list[float], outcome: Outcome
) -> None:
    assert verdict(trial(differences)).outcome is outcome


def test_numbers_that_are_none_are_rejected_whatever_was_predicted() -> None:
    assert verdict(trial([0.1] * 30), finite=False).outcome is Outcome.REJECTED


def test_a_candidate_that_forgets_is_rejected() -> None:
    better = trial([0.1, 0.2] * 15)
    assert verdict(better, old=lambda: (0.089, 0.1)).outcome is Outcome.REJECTED
    assert verdict(better, old=lambda: (0.091, 0.1)).outcome is Outcome.PASSED


def test_lists_are_ranked_only_where_nothing_else_decides() -> None:
    def asked() -> float:
        raise AssertionError("ranked in vain")

    def asked_too() -> tuple[float, float] | None:
        raise AssertionError("ranked in vain")

    for few_or_worse in ([0.1] * 10, [0.1, -0.09] * 15, [-0.1, 0.09] * 15, [-0.1, -0.09] * 15):
        verdict(trial(few_or_worse), agreement=asked, old=asked_too)
    assert verdict(trial([0.1] * 30), agreement=lambda: 0.999, old=asked_too).outcome is Outcome.UNCHANGED


def test_a_candidate_that_lists_other_courses_is_rejected_whatever_was_predicted() -> None:
    def asked() -> tuple[float, float] | None:
        raise AssertionError("ranked in vain")

    found = verdict(trial([0.1] * 30), agreement=lambda: 0.03, old=asked)
    assert found.outcome is Outcome.REJECTED
    assert "lists other courses than are published: agreement@10 0.03, below 0.20" in found.reason
    assert found.figures["agreement@10"] == 0.03
    assert verdict(trial([0.1] * 30), agreement=lambda: 0.2).outcome is Outcome.PASSED


def test_agreement_is_the_share_of_places_whose_course_is_on_both_lists() -> None:
    assert agreement_of([("abcd", "dcba"), ("bcd", "abc"), ("ab", "xy")]) == 6 / 9
    assert agreement_of([]) == 1.0


def test_a_list_that_shows_less_does_not_agree_whichever_it_is() -> None:
    assert agreement_of([("ab", "abcdefgh")]) == agreement_of([("abcdefgh", "ab")]) == 2 / 8


def test_a_verdict_shows_the_agreement_of_the_candidate_that_was_ranked_last() -> None:
    def value() -> float | None:
        return REGISTRY.get_sample_value("recsys_finetune_agreement")

    show_verdict(verdict(trial([0.1] * 30), agreement=lambda: 0.75))
    assert value() == 0.75
    show_verdict(verdict(trial([0.1] * 10)))
    assert value() == 0.75


def test_of_increments_that_do_nothing_one_in_ten_passes_and_one_in_four_at_some_verdict_of_many() -> None:
    """A mean above 0 was enough before: every second one passed at once, and lists became worse."""
    rng, first, some, increments = np.random.default_rng(0), 0, 0, 300
    for _ in range(increments):
        newest = Trial()
        for look in range(RULES.evidence):
            for difference in rng.normal(0, 0.05, RULES.events):
                newest = newest.added(0.5 + difference, 0.5, 1)
            if verdict(newest).outcome is Outcome.PASSED:
                first, some = first + (look == 0), some + 1
                break
            if (newest.difference.mean or 0.0) < 0:
                break  # what spoke against it is left behind
    assert 0.05 < first / increments < 0.16
    assert 0.1 < some / increments < 0.3
