"""A/B experiments assign each learner to a variant by a hash, so that every process and every restart agrees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

_DIGEST_BYTES = 8


def variant_of(experiment: str, shares: Mapping[str, float], user_id: str) -> str:
    """The variant of one learner in one experiment.

    The experiment's name salts the hash, so that two experiments split the learners independently.

    Args:
        experiment: Its name.
        shares: Variant → share of the learners; the shares sum to 1.
        user_id: The learner.
    """
    salted = f"{experiment}\0{user_id}".encode()
    point = int.from_bytes(hashlib.blake2b(salted, digest_size=_DIGEST_BYTES).digest(), "big") / 2 ** (
        8 * _DIGEST_BYTES
    )
    # By name, so that the same shares written in another order move nobody.
    names = sorted(name for name, share in shares.items() if share > 0)
    for name in names[:-1]:
        point -= shares[name]
        if point < 0:
            return name
    return names[-1]


def variants_of(experiments: Mapping[str, Mapping[str, float]], user_id: str) -> dict[str, str]:
    """Experiment → the learner's variant, for every running experiment."""
    return {name: variant_of(name, shares, user_id) for name, shares in experiments.items()}
