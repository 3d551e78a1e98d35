"""Turns of shards: fair whatever is told of, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recsys.keys import Shard
from stream.engagement.turns import Turns

OWNED = [Shard(number) for number in range(5)]
shards = st.sampled_from(OWNED)


@given(st.lists(st.sets(shards), min_size=20, max_size=40), st.sets(shards))
def test_a_shard_with_something_to_do_is_served_within_two_turns_a_shard(
    clicks: list[set[Shard]], backlogs: set[Shard]
) -> None:
    turns, waits = Turns(sweep_s=1e9), dict.fromkeys(OWNED, 0)
    turns.next([], 0.0)  # the first sweep, over nothing
    for shard in backlogs:
        turns.again(shard)
    wanted = set(backlogs)
    for clicked in clicks:
        for shard in sorted(clicked):
            turns.live(shard)
        wanted |= clicked
        served = turns.next(OWNED, 0.0)
        assert (served is None) == (not wanted)
        if served in backlogs:
            turns.again(served)
        elif served is not None:
            wanted.discard(served)
        waits = {shard: 0 if shard == served or shard not in wanted else wait + 1 for shard, wait in waits.items()}
        assert max(waits.values()) < 2 * len(OWNED)


def test_a_postponed_shard_has_no_turn_before_its_time_unless_somebody_acts_in_it() -> None:
    turns = Turns(sweep_s=1.0)
    turns.next([], 0.0)
    turns.postpone(Shard(1), 5.0)
    turns.postpone(Shard(1), 9.0)
    assert turns.next(OWNED, 0.5) is None
    assert turns.idle_until() == 1.0
    assert [turns.next(OWNED, 1.0) for _ in OWNED] == [Shard(0), Shard(2), Shard(3), Shard(4), None]
    assert turns.next([Shard(1)], 5.0) == Shard(1)
    turns.postpone(Shard(1), 50.0)
    turns.live(Shard(1))
    assert turns.next([Shard(1)], 5.5) == Shard(1)
    assert turns.next([Shard(1)], 6.0) == Shard(1)  # it is not postponed any more: sweeps look at it


def test_a_shard_that_went_away_has_no_turn() -> None:
    turns = Turns(sweep_s=1.0)
    for note in (turns.live, turns.again):
        note(Shard(9))
    assert Shard(9) not in [turns.next(OWNED, 0.0) for _ in range(12)]
