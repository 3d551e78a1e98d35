"""Assignment to variants: the shares hold, everybody agrees, experiments are independent."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter

import pytest

from serving.recommend.experiments import variant_of, variants_of

USERS = 20_000


@pytest.mark.parametrize(
    "shares", [{"a": 0.5, "b": 0.5}, {"control": 0.9, "new": 0.1}, {"x": 0.2, "y": 0.3, "z": 0.5}, {"all": 1.0}]
)
def test_shares_hold_within_four_standard_errors(shares: dict[str, float]) -> None:
    random_ids = random.Random(7)
    counts = Counter(variant_of("e", shares, f"{random_ids.getrandbits(64):x}") for _ in range(USERS))
    for name, share in shares.items():
        assert abs(counts[name] / USERS - share) <= 4 * math.sqrt(share * (1 - share) / USERS)


def test_a_share_of_zero_gets_nobody() -> None:
    assert {variant_of("e", {"z": 0.0, "a": 0.0, "m": 1.0}, str(i)) for i in range(1000)} == {"m"}


def test_the_order_of_the_shares_moves_nobody() -> None:
    users = [str(i) for i in range(500)]
    one, other = {"a": 0.3, "b": 0.3, "c": 0.4}, {"c": 0.4, "b": 0.3, "a": 0.3}
    assert [variant_of("e", one, user) for user in users] == [variant_of("e", other, user) for user in users]


def test_two_experiments_split_the_learners_independently() -> None:
    halves = {"a": 0.5, "b": 0.5}
    both = Counter((variant_of("one", halves, str(i)), variant_of("two", halves, str(i))) for i in range(USERS))
    assert all(abs(count / USERS - 0.25) < 0.02 for count in both.values())
    assert len(both) == 4


def test_another_process_with_another_hash_seed_agrees() -> None:
    experiments = {"e": {"a": 0.5, "b": 0.5}, "f": {"x": 0.1, "y": 0.9}}
    users = ["ada", "漢", "a/b", *map(str, range(50))]
    program = (
        "from serving.recommend.experiments import variants_of; "
        f"print([variants_of({experiments!r}, u) for u in {users!r}])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "12345", "PYTHONIOENCODING": "utf-8"},
    ).stdout  # fmt: skip
    assert said.strip() == str([variants_of(experiments, user) for user in users])
