"""Verdicts: what is shown to be worse is rejected, what is not better waits; lists are ranked where they decide."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stream.finetuning.gate import GateRules, Outcome, Trial, Verdict, judge

RULES = GateRules(events=20, moved=0.01)


def trial(differences: list[float]) -> Trial:
    found = Trial()
    for at_ms, difference in enumerate(differences, 1):
        found = found.added(0.5 + difference, 0.5, at_ms)
    return found


def verdict(
    newest: Trial,
    *,
    finite: bool = True,
    moved: Callable[[], float] = lambda: 0.5,
    old: Callable[[], tuple[float, float] | None] = lambda: None,
) -> Verdict:
    return judge(RULES, newest, Trial(), finite=finite, moved=moved, old=old)


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        ([0.1] * 10, Outcome.WAITING),
        ([0.1, -0.05] * 15, Outcome.PASSED),
        ([-0.1, 0.09] * 15, Outcome.WAITING),
        ([-0.1, -0.09] * 15, Outcome.REJECTED),
    ],
)
def test_only_what_is_shown_to_be_worse_is_rejected(differences: list[float], outcome: Outcome) -> None:
    assert verdict(trial(differences)).outcome is outcome


def test_numbers_that_are_none_are_rejected_whatever_was_predicted() -> None:
    assert verdict(trial([0.1] * 30), finite=False).outcome is Outcome.REJECTED


def test_a_candidate_that_forgets_is_rejected() -> None:
    better = trial([0.1, 0.2] * 15)
    assert verdict(better, old=lambda: (0.096, 0.1)).outcome is Outcome.REJECTED
    assert verdict(better, old=lambda: (0.098, 0.1)).outcome is Outcome.PASSED


def test_lists_are_ranked_only_where_nothing_else_decides() -> None:
    def asked() -> float:
        raise AssertionError("ranked in vain")

    def asked_too() -> tuple[float, float] | None:
        raise AssertionError("ranked in vain")

    for few_or_worse in ([0.1] * 10, [-0.1, 0.09] * 15, [-0.1, -0.09] * 15):
        verdict(trial(few_or_worse), moved=asked, old=asked_too)
    assert verdict(trial([0.1] * 30), moved=lambda: 0.001, old=asked_too).outcome is Outcome.UNCHANGED
