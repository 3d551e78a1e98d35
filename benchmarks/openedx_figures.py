"""What `benchmarks.openedx_replay` saw, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Replayed:
    """What was seen.

    Attributes:
        lines: Of the log.
        events: That they became.
        learners: Of these events.
        sent_lines_per_second: From the first line to the last acknowledgement of the first sending.
        first: Records by outcome after the first sending.
        second: After the second.
        differences: Keys and answers that differ; empty.
        recommended: Learner → courses, after the first sending.
        sources: Where the answers came from.
    """

    lines: int
    events: int
    learners: int
    sent_lines_per_second: float
    first: Mapping[str, int]
    second: Mapping[str, int]
    differences: Sequence[str]
    recommended: Mapping[str, Sequence[str]]
    sources: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether nothing differs, every record is accounted for, and the second sending changed nothing."""
        accounted = sum(self.first.values()) == self.events and sum(self.second.values()) == 2 * self.events
        return not self.differences and accounted and self.first.get("accepted") == self.second.get("accepted")


def report(seen: Replayed) -> str:
    """The figures as JSON."""
    return json.dumps({**asdict(seen), "holds": seen.holds}, indent=1)
