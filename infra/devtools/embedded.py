"""The embedded Kafka: the broker that ships inside the confluent-kafka wheel, in this process, without Docker or JVM.

It speaks the Kafka protocol on a loopback port to every client of this project and forgets everything on exit. What
it is not: durable, or large (it keeps the last 5 MB of each partition); it knows no configuration, no compaction and
no topic creation by an admin client, so topics are made here. Run the commands with `RECSYS_KAFKA_EMBEDDED=true`.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from recsys.errors import ServiceUnavailable
from recsys.settings.kafka import EMBEDDED_API_VERSION

_PRODUCER = 0
_ERROR_BYTES = 512
_TOPIC_EXISTS = 36


def _load_library() -> ctypes.CDLL:
    """The librdkafka inside the wheel, with the C signatures used here (rdkafka.h, rdkafka_mock.h)."""
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise ServiceUnavailable("the embedded broker needs the package confluent-kafka, which is not installed")
    libraries = sorted((Path(spec.origin).parent.parent / "confluent_kafka.libs").glob("librdkafka*"))
    if not libraries:
        raise ServiceUnavailable(
            "the embedded broker needs the librdkafka of the confluent-kafka wheel; this build has none"
        )
    # The wheel's own loader finds the libraries beside it (OpenSSL, Cyrus SASL); the extension has to come first.
    importlib.import_module("confluent_kafka")
    library = ctypes.CDLL(str(libraries[0]))
    text, number, pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
    signatures: dict[str, tuple[object, list[object]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_handle_mock_cluster": (pointer, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class EmbeddedKafka:
    """A one-broker cluster in this process, as a context manager.

    A topic that nobody created appears with four partitions at first use.

    Args:
        topics: Topic → partitions, created before anybody connects.
    """

    api_version = EMBEDDED_API_VERSION

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self._topics = dict(topics or {})
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._cluster: int | None = None
        self.bootstrap_servers = ""

    def start(self) -> None:
        """Starts the broker's threads.

        Raises:
            ServiceUnavailable: The wheel is missing, or refuses.
        """
        library = self._library = _load_library()
        reason = ctypes.create_string_buffer(_ERROR_BYTES)
        configuration = library.rd_kafka_conf_new()
        for name, value in ((b"test.mock.num.brokers", b"1"), (b"log_level", b"2")):
            library.rd_kafka_conf_set(configuration, name, value, reason, _ERROR_BYTES)
        self._handle = library.rd_kafka_new(_PRODUCER, configuration, reason, _ERROR_BYTES)
        if not self._handle:
            raise ServiceUnavailable(f"the embedded broker did not start: {reason.value.decode()}")
        self._cluster = library.rd_kafka_handle_mock_cluster(self._handle)
        # The default holds each new group back for 3 s to let more members join.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        for topic, partitions in self._topics.items():
            self.create_topic(topic, partitions)
        self.bootstrap_servers = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, topic: str, partitions: int) -> None:
        """Creates a topic; one that is there keeps its partitions.

        Raises:
            ServiceUnavailable: The broker is not running, or refuses.
        """
        if self._library is None or self._cluster is None:
            raise ServiceUnavailable("the embedded broker is not running")
        status = self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        if status not in (0, _TOPIC_EXISTS):
            raise ServiceUnavailable(f"the embedded broker did not create topic {topic}: Kafka error {status}")

    def close(self) -> None:
        """Ends the broker; everything in it is gone."""
        if self._library is not None and self._handle is not None:
            self._library.rd_kafka_destroy(self._handle)
        self._handle = self._cluster = None
        self.bootstrap_servers = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
