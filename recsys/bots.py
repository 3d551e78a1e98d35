"""Bots: the rule set, applied to a learner's events one by one in the order of their arrival. Pure.

Two rules, each with a reason a person can read: a declared crawler, and a sustained event rate. A burst is no proof:
on a real e-learning log "3 clicks under 5 s apart" would drop users holding 42 % of all events. The stream applies the
rules to every accepted event; its flags are shadow only and change no score. `batch.bots` applies the same rules to a
whole history (docs/state.md says what still differs).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import crawleruseragents

from recsys.events import Interaction

MINUTE_MS: Final = 60_000
MAX_EVENTS_PER_MINUTE: Final = 60
SUSPECT_MINUTES: Final = 1
BOT_MINUTES: Final = 3


@lru_cache(maxsize=65_536)
def is_declared_crawler(user_agent: str) -> bool:
    """Whether a maintained list of crawlers knows this user agent."""
    return bool(crawleruseragents.is_crawler(user_agent))


class BotFeatures:
    """What the rules need to remember of one learner.

    Attributes:
        minute: The latest event-time minute seen (epoch minutes).
        events: Events in that minute.
        busy_minutes: Minutes with more than `MAX_EVENTS_PER_MINUTE` events.
        crawler: 1 once a declared crawler's user agent was seen.
    """

    __slots__ = ("busy_minutes", "crawler", "events", "minute")

    def __init__(self, packed: str = "") -> None:
        """Unpacks what `packed` wrote; the empty string is a learner never seen."""
        fields = map(int, packed.split(",")) if packed else (0, 0, 0, 0)
        self.minute, self.events, self.busy_minutes, self.crawler = fields

    def packed(self) -> str:
        """The features as the store keeps them."""
        return f"{self.minute},{self.events},{self.busy_minutes},{self.crawler}"

    def add(self, event: Interaction) -> None:
        """Counts one event; an event of a minute already left is not counted."""
        minute = event.timestamp // MINUTE_MS
        if minute == self.minute:
            self.events += 1
            if self.events == MAX_EVENTS_PER_MINUTE + 1:
                self.busy_minutes += 1
        elif minute > self.minute:
            self.minute = minute
            self.events = 1
        if event.user_agent and not self.crawler and is_declared_crawler(event.user_agent):
            self.crawler = 1

    def state(self) -> str:
        """`human`, `suspect` or `bot`."""
        if self.crawler or self.busy_minutes >= BOT_MINUTES:
            return "bot"
        return "suspect" if self.busy_minutes >= SUSPECT_MINUTES else "human"

    def reasons(self) -> str:
        """Why, for a person; empty for a human."""
        reasons = []
        if self.crawler:
            reasons.append("user agent is a declared crawler")
        if self.busy_minutes:
            reasons.append(f"{self.busy_minutes} min with more than {MAX_EVENTS_PER_MINUTE} events")
        return "; ".join(reasons)
