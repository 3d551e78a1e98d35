"""A real single-node Apache Kafka (KRaft) as a child process: any JRE 17+, the jars fetched once (`kafka_jars`).

For integration and fault tests, and for developing without Docker.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import uuid
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from infra.devtools.class_archive import archive_options, archive_path
from infra.devtools.kafka_jars import fetch_jars
from infra.devtools.processes import Child, LocalService, free_port
from recsys.errors import ServiceUnavailable

_LOGGING = Path(__file__).parents[1] / "kafka" / "log4j2.properties"
_HEAP = ("-Xmx768m", "-Xms256m", "-XX:+UseSerialGC")
_START_SECONDS = 90.0


class LocalKafka(LocalService):
    """A broker and controller in one JVM on loopback ports, with topic creation left to `recsys topics`.

    `kill` and `start` come back on the same port with the same log files.

    Args:
        directory: Where the log files go; None makes a temporary folder that is removed at the end.
        port: Loopback port of the broker; None takes a free one.
        proxied_port: Where somebody else's proxy will listen: a second listener (`proxied_listener`, a port) tells its
            clients that the broker is there, so that all their traffic goes through the proxy. None makes no such one.
        joins: A running node whose cluster this one joins, as a broker only. None begins a cluster of its own.
    """

    name = "kafka"

    def __init__(
        self,
        directory: Path | None = None,
        port: int | None = None,
        *,
        proxied_port: int | None = None,
        joins: LocalKafka | None = None,
    ) -> None:
        super().__init__(directory)
        self.port = port or free_port()
        self.proxied_port = proxied_port
        self.proxied_listener = None if proxied_port is None else free_port()
        self._joins = joins
        self.node_id: int = 1 if joins is None else joins.node_id + 1
        self.controller_port: int = free_port() if joins is None else joins.controller_port

    @property
    def bootstrap_servers(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def _launch(self) -> Child:
        child = self._spawn()
        try:
            child.wait_until(self._answers, seconds=_START_SECONDS)
        except BaseException:
            child.kill()
            raise
        return child

    def launch_unanswered(self) -> None:
        """Starts the process without waiting for its answer, for a node whose quorum needs others to start too."""
        if self._child is None:
            self._child = self._spawn()

    def await_answer(self) -> None:
        """Waits for the answer of a node started by `launch_unanswered`.

        Raises:
            ServiceUnavailable: It ended, or does not answer in time.
        """
        if self._child is not None:
            self._child.wait_until(self._answers, seconds=_START_SECONDS)

    def _spawn(self) -> Child:
        """Formats the folder once and starts the process."""
        jars = fetch_jars()
        options = [*_HEAP, *self._class_options(jars), f"-Dlog4j2.configurationFile={_LOGGING}"]
        java = ["java", *options, "-cp", f"{jars}/*"]
        properties = self.directory / "server.properties"
        properties.write_text(self._properties())
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(java, properties)
        return Child(self.name, [*java, "kafka.Kafka", str(properties)], log=self.log)

    def _class_options(self, jars: Path) -> list[str]:
        """Of the JVM: where it finds the classes parsed."""
        return archive_options(archive_path(jars), _write_archive)

    def _format(self, java: list[str], properties: Path) -> None:
        command = [
            *java,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={self._cluster_id()}",
            "-c",
            str(properties),
            *self._format_options(),
        ]  # an id may begin with a dash
        done = subprocess.run(  # noqa: S603 - fixed words and our own paths
            command, capture_output=True, text=True, timeout=_START_SECONDS, check=False
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()
            raise ServiceUnavailable(f"Kafka could not format its folder: {' '.join(said[-3:])}")

    def _format_options(self) -> list[str]:
        """More of the command that formats the folder."""
        return []

    def _further_listeners(self) -> dict[str, int]:
        """Security protocol → loopback port of a listener beside the plain one, which speaks it."""
        return {}

    def _further_properties(self) -> list[str]:
        """More lines of `server.properties`."""
        return []

    def _cluster_id(self) -> str:
        if self._joins is not None:
            written = (self._joins.directory / "data" / "meta.properties").read_text()
            return dict(line.split("=", 1) for line in written.splitlines() if "=" in line)["cluster.id"]
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def _properties(self) -> str:
        broker, controller = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.controller_port}"
        listeners, advertised, protocols = f"PLAINTEXT://{broker}", f"PLAINTEXT://{broker}", "PLAINTEXT:PLAINTEXT"
        listeners += f",CONTROLLER://{controller}" if self._joins is None else ""
        if self.proxied_listener is not None:
            listeners += f",PROXIED://127.0.0.1:{self.proxied_listener}"
            advertised += f",PROXIED://127.0.0.1:{self.proxied_port}"
            protocols += ",PROXIED:PLAINTEXT"
        for protocol, port in self._further_listeners().items():
            listeners += f",{protocol}://127.0.0.1:{port}"
            advertised += f",{protocol}://127.0.0.1:{port}"
            protocols += f",{protocol}:{protocol}"
        return "\n".join(
            (
                f"process.roles=broker{',controller' if self._joins is None else ''}",
                f"node.id={self.node_id}",
                f"listeners={listeners}",
                f"advertised.listeners={advertised}",
                "controller.listener.names=CONTROLLER",
                f"listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT",
                f"controller.quorum.voters=1@{controller}",
                f"log.dirs={self.directory / 'data'}",
                "auto.create.topics.enable=false",
                "offsets.topic.num.partitions=4",
                "offsets.topic.replication.factor=1",
                "transaction.state.log.num.partitions=2",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "share.coordinator.state.topic.replication.factor=1",
                "share.coordinator.state.topic.min.isr=1",
                "group.initial.rebalance.delay.ms=0",
                # A broker that was killed may register again only when its old session has ended (9 s by default).
                "broker.session.timeout.ms=2000",
                "broker.heartbeat.interval.ms=300",
                *self._further_properties(),
                "",
            )
        )

    def _answers(self) -> bool:
        try:  # cheap first: the admin client backs off for seconds after one refused connection
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            client = KafkaAdminClient(
                bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5000, bootstrap_timeout_ms=5000
            )
        except (KafkaError, OSError):
            return False
        try:
            cluster = client.describe_cluster()  # somebody else's, on a port lost between choosing and binding?
            ours = f"cluster.id={cluster['cluster_id']}" in (self.directory / "data" / "meta.properties").read_text()
            return ours and self.node_id in {broker["broker_id"] for broker in cluster["brokers"]}
        except (KafkaError, OSError):
            return False
        finally:
            client.close()


class _Archiving(LocalKafka):
    """A broker that writes the archive of its classes as it ends."""

    def __init__(self, archive: Path) -> None:
        super().__init__()
        self._archive = archive

    def _class_options(self, jars: Path) -> list[str]:
        return [f"-XX:ArchiveClassesAtExit={self._archive}"]


def _write_archive(archive: Path) -> None:
    with _Archiving(archive):
        pass
