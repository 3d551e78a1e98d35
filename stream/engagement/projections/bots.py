"""Bots: what the rules of `recsys.bots` remember of each learner, and their flag."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.bots import BotFeatures
from recsys.errors import UnreadableState
from recsys.keys import BOT
from recsys.online_store import ShardState
from recsys.online_store.operations import Drop, HashText, Operation, Read, ReadText
from stream.engagement.projections.events import Events

FEATURES = "features"
FLAG = ("state", "reasons")


class Bots:
    """Learner → packed features; of a learner who is no plain human also state and reasons. A flag, no more.

    The rules see every event of a learner once, whether or not it changed a record: a repeat is as much an event as
    any. They do not see events that go to another learner after a merge, nor those that an erasure covers.
    """

    def reads(self, events: Events) -> Sequence[Read]:
        """The features of every learner."""
        return [ReadText(BOT, events.touched, FEATURES)] if events.touched else []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Shows the rules every event, in order."""
        learners: dict[str, BotFeatures] = {}
        forgotten = events.changes.forgotten
        for event in events.changes.seen:
            user = event.user_id
            if not event.course_id:
                learners[user] = BotFeatures()
                continue
            features = learners.get(user)
            if features is None:
                features = learners[user] = _unpacked(state, user)
            features.add(event)  # type: ignore[arg-type]  # only an Interaction has a course
        packed = {user: (features.packed(),) for user, features in learners.items() if features.minute}
        flags = {
            user: (flag, features.reasons())
            for user, features in learners.items()
            if (flag := features.state()) != "human"
        }
        operations: list[Operation] = [HashText(BOT, (FEATURES,), packed), HashText(BOT, FLAG, flags)]
        return [Drop(BOT, [*forgotten]), *operations] if forgotten else operations


def _unpacked(state: ShardState, user: str) -> BotFeatures:
    try:
        return BotFeatures(state.texts[BOT][user])
    except ValueError:
        raise UnreadableState(state.key(BOT, user), "holds no features of a learner") from None
