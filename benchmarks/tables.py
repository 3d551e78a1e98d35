"""How much the tables of living objects hold: their lengths by where they are, for whatever must not grow for ever."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

OWN = ("stream.", "recsys.")
"""Objects of these modules are looked into; those of libraries are not."""

_MANY = (list, tuple, set, frozenset, deque)


def tables(root: Any, name: str) -> Counter[str]:
    """Lengths of all containers and arrays that are reached from an object through attributes and elements.

    Args:
        root: An object of ours, or a container of them.
        name: What it is called.

    Returns:
        Path → elements in all; the elements of one container share a path: `trainer._line.learners._known[].courses`.
    """
    found: Counter[str] = Counter()
    seen, left = set[int](), [(name, root)]
    while left:
        path, value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            found[path] += value.size
        elif isinstance(value, Mapping):
            found[path] += len(value)
            left += [(f"{path}[]", each) for each in value.values()]
        elif isinstance(value, _MANY):
            found[path] += len(value)
            left += [(f"{path}[]", each) for each in value]
        else:
            left += [(f"{path}.{key}", each) for key, each in _attributes(value)]
    return found


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    if not type(value).__module__.startswith(OWN):
        return
    if isinstance(value, msgspec.Struct):
        yield from ((key, getattr(value, key)) for key in value.__struct_fields__)
        return
    slots = (key for each in type(value).__mro__ for key in vars(each).get("__slots__", ()))
    yield from ((key, getattr(value, key)) for key in slots if hasattr(value, key))
    yield from getattr(value, "__dict__", {}).items()
