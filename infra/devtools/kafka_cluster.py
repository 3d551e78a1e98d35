"""A real Apache Kafka of several nodes as child processes, each of them broker and controller."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.processes import free_port


class ClusterNode(LocalKafka):
    """One node of a cluster whose nodes all vote.

    Args:
        directory: Where its files go.
        node_id: From 1.
        cluster_id: The same for all nodes.
        controller_ports: Of all nodes, by node id from 1.
    """

    def __init__(self, directory: Path, *, node_id: int, cluster_id: str, controller_ports: Sequence[int]) -> None:
        super().__init__(directory)
        self.node_id, self._shared_cluster_id = node_id, cluster_id
        self._controller_ports = controller_ports
        self.controller_port = controller_ports[node_id - 1]

    def _cluster_id(self) -> str:
        return self._shared_cluster_id

    def _properties(self) -> str:
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(self._controller_ports, 1))
        nodes = str(len(self._controller_ports))
        replaced = {
            "controller.quorum.voters": voters,
            "offsets.topic.replication.factor": nodes,
            "transaction.state.log.replication.factor": nodes,
            "share.coordinator.state.topic.replication.factor": nodes,
            "min.insync.replicas": str(max(1, len(self._controller_ports) - 1)),
            "default.replication.factor": nodes,
            "controlled.shutdown.enable": "true",
        }
        given = dict(line.split("=", 1) for line in super()._properties().splitlines() if "=" in line)
        return "".join(f"{name}={value}\n" for name, value in (given | replaced).items())


class KafkaCluster:
    """Nodes that start together, as a context manager.

    Args:
        directory: A folder for each node is made in it.
        nodes: How many.
    """

    def __init__(self, directory: Path, nodes: int = 3) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        ports = [free_port() for _ in range(nodes)]
        self.nodes = [
            ClusterNode(directory / f"node-{number}", node_id=number, cluster_id=cluster_id, controller_ports=ports)
            for number in range(1, nodes + 1)
        ]

    @property
    def bootstrap_servers(self) -> str:
        """All nodes, host:port separated by commas."""
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self) -> None:
        """Starts the nodes that are down and returns when every one of them answers.

        Raises:
            ServiceUnavailable: A node cannot be started here.
        """
        down = [node for node in self.nodes if node.pid is None]
        for node in down:
            node.launch_unanswered()  # a quorum needs a majority: no node answers before others are up
        for node in down:
            node.await_answer()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every node."""
        for node in self.nodes:
            node.kill()
            node.close()
