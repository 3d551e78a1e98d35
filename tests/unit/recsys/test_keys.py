"""The key space and Kafka's partitioner."""

from __future__ import annotations

import re

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from recsys import keys
from recsys.keys import KeySpace, Shard

user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)
prefixes = st.from_regex(keys.PREFIX_PATTERN, fullmatch=True)
shards = st.integers(min_value=0, max_value=29_999).map(Shard)


@given(user_ids, st.integers(min_value=1, max_value=200))
def test_a_user_is_in_the_partition_kafkas_default_partitioner_chooses(user: str, partitions: int) -> None:
    everything = list(range(partitions))
    assert keys.partition_of(user, partitions) == DefaultPartitioner()(user.encode(), everything, everything)


@pytest.mark.parametrize(
    ("data", "expected"), [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)]
)
def test_murmur2_gives_the_values_of_kafkas_own_unit_test(data: bytes, expected: int) -> None:
    assert keys.murmur2(data) == expected & 0xFFFFFFFF


@given(prefixes, user_ids, shards)
def test_every_key_of_a_user_hashes_to_the_tag_of_its_shard(prefix: str, user: str, shard: Shard) -> None:
    space = KeySpace(prefix)
    for key in (space.engagement, space.done, space.bot, space.top):
        # Redis Cluster hashes what is between the first `{` and the next `}`.
        tag = re.search(r"\{(.*?)\}", key(shard, user))
        assert tag is not None
        assert tag.group(1) == f"s{shard}"
        assert space.shard_of(key(shard, user)) == shard
    assert space.learner_of_engagement(space.engagement(shard, user)) == (shard, user)
    assert space.learner_of_engagement(space.done(shard, user)) is None


@given(user_ids, user_ids)
def test_two_users_never_share_a_key(one: str, other: str) -> None:
    space = KeySpace()
    of_user = (space.engagement, space.done, space.bot, space.top)
    everything = [key(Shard(3), user) for user in {one, other} for key in of_user]
    assert len(set(everything)) == len(everything)


def test_every_key_begins_with_the_prefix_and_a_key_under_another_is_of_no_shard() -> None:
    space, shard = KeySpace("a:"), Shard(3)
    spelt = [space.trending, space.topology, space.model_current, space.model_previous, space.worker("w")]
    spelt += [space.tag(shard), space.scratch_tag(shard, "x"), space.guard(shard, "g"), space.fence(shard, "g")]
    spelt += [space.every_shard_pattern, space.every_engagement_pattern, space.fence_pattern]
    assert [key for key in spelt if not key.startswith("a:")] == []
    assert [KeySpace(other).shard_of(space.trend(shard)) for other in ("", "b:", "a")] == [None, None, None]


def test_without_a_prefix_keys_are_those_of_earlier_releases() -> None:
    space = KeySpace("")
    assert (space.topology, space.model_current, space.trending) == ("topology", "model:current", "trending")
    assert space.engagement(Shard(3), "u") == "{s3}:eng:u"
    assert space.fence(Shard(3), "g") == "{s3}:fence:g"
