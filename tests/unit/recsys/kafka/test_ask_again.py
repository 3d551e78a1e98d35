"""What any broker can answer is asked again where the one that was asked is silent."""

from __future__ import annotations

import pytest
from kafka.errors import RequestTimedOutError, TopicAuthorizationFailedError

from recsys.kafka.admin import ATTEMPTS, ask_again, partition_leaders


class Silent:
    """An admin client whose first brokers do not answer."""

    def __init__(self, silent: int) -> None:
        self.asked, self._silent = 0, silent

    def describe_topics(self, topics: list[str]) -> list[dict[str, object]]:
        self.asked += 1
        if self.asked <= self._silent:
            raise RequestTimedOutError
        return [{"error_code": 0, "partitions": [{"partition_index": 0, "leader_id": 1}]}]


@pytest.mark.parametrize("silent", range(ATTEMPTS))
def test_a_silent_broker_is_passed_by(silent: int) -> None:
    client = Silent(silent)
    assert partition_leaders(client, "t") == {0: 1}
    assert client.asked == silent + 1


def test_brokers_that_are_all_silent_are_an_error() -> None:
    client = Silent(ATTEMPTS)
    with pytest.raises(RequestTimedOutError):
        partition_leaders(client, "t")
    assert client.asked == ATTEMPTS


def test_what_asking_again_does_not_mend_is_told_at_once() -> None:
    asked = []

    def refused() -> None:
        asked.append(1)
        raise TopicAuthorizationFailedError

    with pytest.raises(TopicAuthorizationFailedError):
        ask_again(refused)
    assert len(asked) == 1
