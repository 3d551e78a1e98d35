"""A broker that takes connections and never answers is asked once by an admin client, on real sockets."""

from __future__ import annotations

import pytest
from kafka.errors import RetriableError
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from recsys.kafka.answering_brokers import passing_by_silent_brokers
from tests.doubles.listeners import listening, silent

DRAWS = 30
"""A fair draw among three would pass by one of them so often in 5 of a million runs."""


def test_a_broker_that_was_silent_is_not_drawn_again_while_there_is_another() -> None:
    with listening(silent) as first, listening(silent) as second, listening(silent) as third:
        client = passing_by_silent_brokers(
            bootstrap_servers=[first], request_timeout_ms=50, socket_connection_setup_timeout_ms=50
        )
        try:
            manager = client._manager
            manager.cluster.update_metadata(_advertising(first, second, third))
            passed_by: set[int] = set()
            for _ in range(2):
                asked = manager.least_loaded_node()
                with pytest.raises(RetriableError):
                    manager.run(manager.send, MetadataRequest(topics=[]), asked)
                passed_by |= {asked}
                assert {manager.least_loaded_node() for _ in range(DRAWS)}.isdisjoint(passed_by)
        finally:
            client.close()


def _advertising(*brokers: str) -> MetadataResponse:
    split = [each.rpartition(":") for each in brokers]
    rows = [(number, host, int(port), None) for number, (host, _, port) in enumerate(split)]
    return MetadataResponse(brokers=rows, cluster_id="c", controller_id=0, topics=[], version=7)
