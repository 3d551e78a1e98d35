"""What a receipt says of topics, dead letters and bundles that still hold something of a learner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.operator.erase import applied
from infra.operator.erasure import KeptBundle, KeptLetter, kept_bundles, kept_letters, kept_topic
from recsys.dead_letters import DeadLetter
from recsys.keys import Shard, Topology
from recsys.online_store.redis.holdings import Holdings

DAY_MS = 86_400_000
KEPT = {"cleanup.policy": "delete", "retention.ms": str(90 * DAY_MS), "segment.ms": str(7 * DAY_MS)}
NEWEST = 1_700_000_000_000


def letter(offset: int, value: bytes | None, key: bytes | None = None, **headers: bytes) -> DeadLetter:
    return DeadLetter(0, offset, NEWEST, key, value, tuple(headers.items()), {"dlq.reason": "not_json"}, 0)


def test_a_topic_keeps_the_newest_record_for_its_retention_and_a_segment() -> None:
    assert kept_topic("t", KEPT, newest_ms=NEWEST).kept_until_ms == NEWEST + 97 * DAY_MS


@pytest.mark.parametrize(
    ("configuration", "because"),
    [
        ({**KEPT, "retention.ms": "-1"}, "unlimited"),
        ({**KEPT, "cleanup.policy": "compact"}, "compact"),
        ({}, "does not say"),
    ],
)
def test_a_topic_without_a_limit_or_an_answer_says_so(configuration: dict[str, str], because: str) -> None:
    kept = kept_topic("t", configuration, newest_ms=NEWEST)
    assert kept.kept_until_ms is None
    assert because in kept.because


def test_dead_letters_with_bytes_of_the_learner_are_found_whatever_they_are() -> None:
    letters = [
        letter(0, b"junk", key="zoë".encode()),
        letter(1, json.dumps({"user_id": "zoë"}).encode()),
        letter(2, json.dumps({"user_id": "zoë"}, ensure_ascii=False).encode() + b" and then garbage"),
        letter(3, b"{}", ce_userid="zoë".encode()),
        letter(4, json.dumps({"user_id": "zoëy"}).encode(), key=b"zo"),
        letter(5, None),
    ]
    found = list(kept_letters(letters, "zoë", KEPT))
    assert [each.offset for each in found] == [0, 1, 2, 3]
    assert found[0] == KeptLetter(0, 0, "not_json", NEWEST, NEWEST + 97 * DAY_MS)


def test_bundles_with_a_row_of_the_learner_are_named(tmp_path: Path) -> None:
    versions = ["20260101T000000-00000001", "20260102T000000-00000002", "20260103T000000-00000003"]
    for version, users in zip(versions, (["a", "u"], ["a"], ["u"]), strict=True):
        (tmp_path / version).mkdir()
        (tmp_path / version / "users.json").write_text(json.dumps(users))
    (tmp_path / "20260104T000000-00000004").mkdir()  # one that is being written or deleted
    assert kept_bundles(tmp_path, "u", current=versions[2], previous=versions[1]) == [
        KeptBundle(versions[0], ""),
        KeptBundle(versions[2], "current"),
    ]


class Redis:
    """A shard whose fence moves with each question, and a rebuild that switches meanwhile."""

    def __init__(self, fences: dict[int, list[int | None]]) -> None:
        self._fences, self._asked = fences, 0

    async def topology(self) -> Topology | None:
        self._asked += 1
        return Topology(1, 0 if self._asked < 3 else 1)

    async def fence(self, shard: Shard, group: str) -> int | None:
        left = self._fences[shard]
        return left.pop(0) if len(left) > 1 else left[0]

    async def holdings(self, shard: Shard, user_id: str) -> Holdings:
        return Holdings()


@pytest.mark.parametrize(("reached", "folded"), [(7, True), (6, False)])
async def test_the_fence_of_whatever_generation_is_in_use_tells_that_it_was_applied(reached: int, folded: bool) -> None:
    store = Redis({0: [None, 5], 10_000: [5, reached]})
    assert await applied(store, "g", "u", 7, within_s=0.5) is folded
