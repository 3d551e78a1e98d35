"""A sum that terms join and leave: trending of a course in a shard, the sum of `trend` over its records.

Kept as two doubles, a value and what rounding left of it, and the number of records that have a part in it: after
millions of terms added and taken out again it is the sum of those that are left to far below 1e-9, and nothing at all
when none is left. (`math.fsum` rounds a sum once, by the expansions of Shewchuk, "Adaptive Precision Floating-Point
Arithmetic and Fast Robust Geometric Predicates", Discrete & Computational Geometry 18, 1997.)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import fsum
from typing import Final

_FORM: Final = struct.Struct("<ddI")
SUM_BYTES: Final = _FORM.size
"""What follows them in a value is another's."""


def change_sum(packed: bytes | None, terms: Sequence[float], records: int) -> bytes | None:
    """A sum after terms joined and left it; None where no record has a part in it any more.

    Args:
        packed: What begins with a sum as the online store keeps it, 20 bytes; None for none.
        terms: The terms that joined, each above 0, and the negative of those that left.
        records: How many more records have a part in it.

    Raises:
        ValueError: The bytes are no sum.
    """
    value, rest, before = (0.0, 0.0, 0) if packed is None else _unpacked(packed)
    if before + records <= 0:
        return None
    total = fsum((value, rest, *terms))
    return _FORM.pack(total, fsum((value, rest, *terms, -total)), before + records)


def sum_of(packed: bytes) -> float:
    """The sum that `change_sum` made.

    Raises:
        ValueError: The bytes are no sum.
    """
    value, rest, _ = _unpacked(packed)
    return value + rest


def _unpacked(packed: bytes) -> tuple[float, float, int]:
    try:
        return _FORM.unpack_from(packed)
    except struct.error:
        raise ValueError("expected a compensated sum") from None
