"""The topology's value: formats that this release and the ones before read, and what each makes of the other's."""

from __future__ import annotations

import json

import pytest

from recsys.errors import OutdatedState, UnreadableState
from recsys.keys import STATE_FORMAT, Topology
from recsys.online_store.redis.topology import decode_any_topology, decode_owner, decode_topology, encode_topology
from recsys.owner import LogIdentity, StateOwner

OWNER = StateOwner("live", "g", LogIdentity("interactions", "id"))


@pytest.mark.parametrize("topology", [Topology(6), Topology(12, 3), Topology(6, 2, state_format=1)])
@pytest.mark.parametrize("owner", [None, OWNER])
def test_a_value_of_either_format_comes_back_as_written(topology: Topology, owner: StateOwner | None) -> None:
    value = encode_topology(topology, owner)
    assert decode_any_topology("topology", value) == topology
    assert decode_owner("topology", value) == owner


def test_the_release_before_knows_that_a_newer_one_wrote_it_and_the_one_before_that_that_it_is_none() -> None:
    said = json.loads(encode_topology(Topology(6, 1), OWNER))
    assert said["format"] == STATE_FORMAT > 1
    assert not {"partitions", "generation"} & said.keys()


def test_an_earlier_format_is_what_that_release_wrote() -> None:
    assert json.loads(encode_topology(Topology(6, 1, state_format=1))) == {"partitions": 6, "generation": 1}


def test_state_of_an_earlier_format_is_refused_with_what_it_is() -> None:
    with pytest.raises(OutdatedState) as told:
        decode_topology("topology", b'{"partitions":6,"generation":2}')
    assert (told.value.partitions, told.value.generation, told.value.state_format) == (6, 2, 1)
    assert told.value.rebuild_heals


@pytest.mark.parametrize(
    "value",
    [
        b'{"format":2,"partitions":6,"generation":1}',
        b'{"format":2,"shards":{"partitions":0}}',
        b'{"format":0,"partitions":6}',
        b'{"format":2,"shards":{"partitions":6,"generation":-1}}',
    ],
)
def test_what_neither_format_allows_is_no_topology(value: bytes) -> None:
    with pytest.raises(UnreadableState, match="topology"):
        decode_any_topology("topology", value)
