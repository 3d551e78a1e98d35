"""`recsys topics` and `recsys status` on a real broker, and what they say of the embedded one."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from kafka.admin import ConfigResource, ConfigResourceType

from infra.devtools.embedded import EmbeddedKafka
from infra.devtools.processes import free_port
from infra.operator.commands import status, topics
from infra.operator.status import lag
from infra.operator.topics import TopicState, ensure_topics, topic_partitions
from recsys.cli import main
from recsys.errors import ConfigurationError, ServiceUnavailable, TopologyMismatch
from recsys.kafka.clients import admin_client
from recsys.settings import Settings
from tests.doubles.topics import alter_topic


def environment(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    for name in ("interactions_topic", "dead_letter_topic", "courses_topic", "exposures_topic", "kafka_embedded"):
        monkeypatch.setenv(f"RECSYS_{name.upper()}", str(getattr(settings, name)))


@pytest.mark.services
def test_topics_are_created_with_what_is_relied_upon_and_then_found(settings: Settings) -> None:
    created = ensure_topics(settings, 5)
    assert {report.state for report in created} == {TopicState.CREATED}
    found = ensure_topics(settings, 5)
    assert [(report.name, report.partitions) for report in found] == [(each.name, each.partitions) for each in created]
    assert {report.state for report in found} == {TopicState.PRESENT}
    with admin_client(settings) as client:
        names = (settings.interactions_topic, settings.courses_topic)
        described = client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="all"
        )["topic"]
    interactions, courses = (described[name] for name in names)
    assert interactions["message.timestamp.type"]["value"] == "LogAppendTime"
    assert interactions["cleanup.policy"]["value"] == "delete"
    assert int(interactions["retention.ms"]["value"]) > 365 * 86_400_000
    assert courses["cleanup.policy"]["value"] == "compact"


@pytest.mark.services
def test_another_partition_count_is_refused_before_anything_is_made(settings: Settings) -> None:
    ensure_topics(settings, 3)
    with pytest.raises(TopologyMismatch, match="with 4 partitions, received 3"):
        ensure_topics(settings, 4)


@pytest.mark.services
def test_a_topic_without_arrival_times_is_refused(settings: Settings) -> None:
    with admin_client(settings) as client:
        client.create_topics({settings.interactions_topic: {"num_partitions": 2, "replication_factor": 1}})
        client.wait_for_topics([settings.interactions_topic])
    with pytest.raises(
        ConfigurationError,
        match=r"type=CreateTime and must have message\.timestamp\.type=LogAppendTime",
    ):
        ensure_topics(settings, 2)


@pytest.mark.services
def test_a_pinned_version_is_no_embedded_broker(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(kafka_api_version="3.9")
    assert {report.state for report in ensure_topics(settings, 2)} == {TopicState.CREATED}
    with admin_client(settings) as client:
        alter_topic(client, settings.interactions_topic, {"message.timestamp.type": "CreateTime"})
    with pytest.raises(ConfigurationError, match=r"message\.timestamp\.type=LogAppendTime"):
        ensure_topics(settings, 2)


@pytest.mark.services
def test_the_command_writes_the_topology_and_status_reads_it_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch, settings)
    made = CliRunner().invoke(topics, ["--partitions", "3", "--json"], catch_exceptions=False)
    assert {row["state"] for row in json.loads(made.stdout)} == {"created"}
    seen = json.loads(CliRunner().invoke(status, ["--json"], catch_exceptions=False).stdout)
    assert (seen["lag"], seen["model"], len(seen["partitions"])) == (0, None, 3)
    with pytest.raises(TopologyMismatch, match="received 3 in Redis"):
        CliRunner().invoke(topics, ["--partitions", "4"], catch_exceptions=False)


def test_the_embedded_broker_is_checked_but_not_asked_to_create(redis_url: str) -> None:
    settings = Settings(redis_url=redis_url, kafka_embedded=True)
    with EmbeddedKafka(topic_partitions(settings, 3)) as broker:
        settings = settings.model_copy(update={"kafka_bootstrap_servers": broker.bootstrap_servers})
        assert {report.state for report in ensure_topics(settings, 3)} == {TopicState.PRESENT}
        with pytest.raises(TopologyMismatch):
            ensure_topics(settings, 2)
        elsewhere = settings.model_copy(update={"courses_topic": "others"})
        with pytest.raises(ServiceUnavailable, match="makes its topics at its own start"):
            ensure_topics(elsewhere, 3)


@pytest.mark.parametrize("name", ["topics", "status"])
def test_an_unreachable_kafka_is_one_line_and_status_3(
    name: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("REDIS_URL", redis_url)
    with pytest.raises(SystemExit) as ended:
        main([name])
    assert ended.value.code == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recsys: Kafka cannot be reached: 127.0.0.1:")


@pytest.mark.parametrize(
    ("fence", "start", "end", "waiting"), [(None, 0, 7, 7), (6, 0, 7, 0), (2, 0, 7, 4), (None, 3, 7, 4), (1, 5, 7, 2)]
)
def test_lag_counts_the_records_that_wait(fence: int | None, start: int, end: int, waiting: int) -> None:
    assert lag(fence, start, end) == waiting
