"""The key space and Kafka's partitioner."""

from __future__ import annotations

import re

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from recsys import keys

user_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)


@given(user_ids, st.integers(min_value=1, max_value=200))
def test_a_user_is_in_the_partition_kafkas_default_partitioner_chooses(user: str, partitions: int) -> None:
    everything = list(range(partitions))
    assert keys.partition_of(user, partitions) == DefaultPartitioner()(user.encode(), everything, everything)


@pytest.mark.parametrize(
    ("data", "expected"), [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)]
)
def test_murmur2_gives_the_values_of_kafkas_own_unit_test(data: bytes, expected: int) -> None:
    assert keys.murmur2(data) == expected & 0xFFFFFFFF


@given(user_ids, st.integers(min_value=0, max_value=999))
def test_every_key_of_a_user_hashes_to_the_tag_of_its_partition(user: str, partition: int) -> None:
    for key in (keys.engagement, keys.done, keys.bot, keys.top):
        # Redis Cluster hashes what is between the first `{` and the next `}`.
        tag = re.search(r"\{(.*?)\}", key(partition, user))
        assert tag is not None
        assert tag.group(1) == f"s{partition}"
    assert keys.learner_of_engagement(keys.engagement(partition, user)) == (partition, user)


@given(user_ids, user_ids)
def test_two_users_never_share_a_key(one: str, other: str) -> None:
    everything = [key(3, user) for user in {one, other} for key in (keys.engagement, keys.done, keys.bot, keys.top)]
    assert len(set(everything)) == len(everything)
