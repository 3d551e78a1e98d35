"""Whether Redis keeps what it was given: no key is deleted to make room, and a restart loses nothing but a second."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.errors import ConfigurationError

REQUIRED_POLICY = "noeviction"


@dataclass(frozen=True, slots=True)
class Durability:
    """What Redis says of itself; None where it does not tell (a missing right to INFO or CONFIG GET).

    Attributes:
        eviction_policy: Its `maxmemory-policy`.
        append_only: Whether it keeps an append-only file.
        snapshots: Whether it is configured to write snapshots by itself.
        evicted_keys: Keys deleted to make room since it started.
        run_id: Which start of the server this is: another one after each.
    """

    eviction_policy: str | None = None
    append_only: bool | None = None
    snapshots: bool | None = None
    evicted_keys: int | None = None
    run_id: str | None = None

    @property
    def evicts(self) -> bool:
        """Whether it deletes keys to make room."""
        return self.eviction_policy not in (None, REQUIRED_POLICY)

    @property
    def persists(self) -> bool | None:
        """Whether a restart finds the state again; None if that is not known."""
        known = (self.append_only, self.snapshots)
        return True if True in known else None if None in known else False


def check_eviction(durability: Durability, *, allowed: bool) -> None:
    """Expects that no key is deleted to make room.

    Args:
        durability: What Redis says.
        allowed: Whether an operator accepts the loss.

    Raises:
        ConfigurationError: Keys are, and nobody accepts it.
    """
    if durability.evicts and not allowed:
        raise ConfigurationError(
            f"Redis has maxmemory-policy {durability.eviction_policy} and must have {REQUIRED_POLICY}: once its memory "
            "is full it would delete learners, and the lag would still be 0; set it in redis.conf and with `redis-cli "
            f"config set maxmemory-policy {REQUIRED_POLICY}`, or accept the loss with RECSYS_REDIS_ALLOW_EVICTION=true"
        )
