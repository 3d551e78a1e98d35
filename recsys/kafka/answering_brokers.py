"""Which broker kafka-python asks when any may answer: not one that did not answer before, while there is another."""

from __future__ import annotations

from typing import Any

from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector


class _AnsweringBrokers(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python has no types
    """kafka-python's connections, which draw the broker to ask from all at random, after each time-out again.

    Its back-off does not keep it from that: a connection that opens and is never answered counts as a good one.
    """

    def __init__(self, net: Any, **options: Any) -> None:
        super().__init__(net, **options)
        self._silent: set[int | str] = set()

    def send(self, request: Any, node_id: int | str | None = None, request_timeout_ms: float | None = None) -> Future:
        """Sends a request to a broker, by default to one that may answer."""
        asked = self.least_loaded_node() if node_id is None else node_id
        answer = super().send(request, asked, request_timeout_ms)
        if asked is not None:
            answer.add_errback(lambda _error: self._silent.add(asked))
        return answer

    def least_loaded_node(self) -> int | str | None:
        """The broker to ask: kafka-python's choice, another where that one was silent."""
        drawn: int | str | None = super().least_loaded_node()
        if drawn not in self._silent:
            return drawn
        others = [broker.node_id for broker in self.cluster.brokers() if broker.node_id not in self._silent]
        return next((other for other in others if not self.connection_delay(other)), drawn)


def passing_by_silent_brokers(**options: Any) -> KafkaNetClient:
    """The `kafka_client` that a kafka-python client is given for this choice."""
    net = NetworkSelector(**options)
    return KafkaNetClient(net, _AnsweringBrokers(net, **options))
