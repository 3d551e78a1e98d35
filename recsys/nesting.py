"""How deeply JSON is nested, counted before anything recurses into it.

msgspec recurses. What it takes therefore depends on the stack its caller has left: an accepted document, a
RecursionError or, under a raised recursion limit, a dead process. A limit far below all that has one outcome.
"""

from __future__ import annotations

import re
from itertools import accumulate

MAX_DEPTH = 32
"""Objects and arrays inside one another, the event itself included. An event is flat; unknown fields may not be."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*"?', re.DOTALL)  # also one that never ends, so it never backtracks
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_ALL_BUT_BRACKETS = bytes(set(range(256)) - _STEP.keys())
_SQUARE, _CURLY = ord("["), ord("{")  # a number is looked for in a fifth of the time a byte string takes


def nests_deeper(value: bytes, levels: int = MAX_DEPTH) -> bool:
    """Whether objects and arrays lie more than `levels` deep; brackets inside strings do not count.

    Hot path: a flat object is told by two looks. Never recurses; bytes that are no JSON are counted all the same.
    """
    if _SQUARE not in value and _CURLY not in value[1:]:
        return levels < 1
    if value.count(_SQUARE) + value.count(_CURLY) <= levels:
        return False
    brackets = _STRING.sub(b"", value).translate(None, _ALL_BUT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > levels
