"""Who teaches or runs a course: what they do there is no learner's signal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

EVERYWHERE: Final = "*"


class Role(NamedTuple):
    """That a user has a role in a course.

    Attributes:
        user_id: The user.
        course_id: A course without its run; `*` for every course.
        org: An organisation, for every course of it; empty for the one course.
    """

    user_id: str
    course_id: str
    org: str = ""


class Staff:
    """The roles known so far. A role that becomes known later counts from then on.

    Args:
        roles: To begin with.
    """

    def __init__(self, roles: Iterable[Role] = ()) -> None:
        self._roles = set(roles)

    def __len__(self) -> int:
        return len(self._roles)

    def __iter__(self) -> Iterator[Role]:
        return iter(sorted(self._roles))

    def add(self, role: Role) -> None:
        """A role was given; once more changes nothing."""
        self._roles.add(role)

    def remove(self, role: Role) -> None:
        """A role was taken; one that is not there changes nothing."""
        self._roles.discard(role)

    def has(self, user_id: str, course_id: str, org: str | None = None) -> bool:
        """Whether a user has a role in a course, in its organisation or everywhere."""
        return bool(self._roles) and not self._roles.isdisjoint(
            (Role(user_id, course_id), Role(user_id, EVERYWHERE), Role(user_id, EVERYWHERE, org or EVERYWHERE))
        )
