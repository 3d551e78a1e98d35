"""Every setting is told values that cannot work: one line that names it, exit status 2, and no secret in the line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from recsys.cli import main
from recsys.settings import load_settings
from recsys.settings.environment import REMOVED
from recsys.settings.table import setting_rows

PASSWORD = "hunter2-s3cret"  # noqa: S105 - of the tests

NOT_A_NUMBER = ("abc", "", "nan", "inf", "-inf", "1e400", "0x10", "1,5")
NOT_A_COUNT = (*NOT_A_NUMBER, "1.5", "-1")
NOT_A_FLAG = ("maybe", "", "2")
LONG = "x" * 5000
NOT_A_FILE = ("/no/such/file.pem", "/", LONG)
NOT_A_TOPIC = ("__consumer_offsets", "", " ", "a b", "a/b", "ä", ".", "..", "x" * 250)
NOT_A_NAME = ("a\u202eb", "", " ", "a b", "a\tb", "x" * 256)
NOT_A_FOLDER = ("", " ", "/etc/passwd", LONG, "a\nb", "a\udcff")
TOO_MUCH = ("1e20", "1e300")
NOT_JSON = ("abc", "", "[1]", "1", "null", '{"view": 1', '{"view": 1, "view": 2}', "[" * 1_000_000, "'view'")
REGISTRY = {"RECSYS_SCHEMA_REGISTRY_URL": "http://registry:8081"}
SASL = {"RECSYS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}

BAD: dict[str, tuple[str | Mapping[str, str], ...]] = {
    "KAFKA_BOOTSTRAP_SERVERS": (
        *("", "localhost", "localhost:", ":9092", "localhost:abc", "localhost:0", "localhost:65536", "localhost:-1"),
        *("a:1,", "a:1,b", "a:1;b:2", "kafka://a:1", f"user:{PASSWORD}@a:1", "::1:9092"),
    ),
    "RECSYS_KAFKA_API_VERSION": ("two", "", "2", "2.x", "-1.0", "2.3.", "1.2.3.4.5", "2.3; rm", "２.３"),
    "RECSYS_KAFKA_EMBEDDED": NOT_A_FLAG,
    "RECSYS_KAFKA_SECURITY_PROTOCOL": ("", "TLS", "ssl ", "SASL", *({"RECSYS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},)),
    "RECSYS_KAFKA_SASL_MECHANISM": ("", "GSSAPI", "SCRAM"),
    "RECSYS_KAFKA_SASL_USERNAME": ("someone", {**SASL, "RECSYS_KAFKA_SASL_USERNAME": "someone"}),
    "RECSYS_KAFKA_SASL_PASSWORD": (PASSWORD, {**SASL, "RECSYS_KAFKA_SASL_PASSWORD": PASSWORD}),
    "RECSYS_KAFKA_SSL_CA_FILE": NOT_A_FILE,
    "RECSYS_KAFKA_SSL_CERT_FILE": NOT_A_FILE,
    "RECSYS_KAFKA_SSL_KEY_FILE": NOT_A_FILE,
    "RECSYS_KAFKA_SSL_KEY_PASSWORD": (
        PASSWORD,
        {"RECSYS_KAFKA_SECURITY_PROTOCOL": "SSL", "RECSYS_KAFKA_SSL_KEY_PASSWORD": PASSWORD},
    ),
    "RECSYS_KAFKA_SSL_CHECK_HOSTNAME": NOT_A_FLAG,
    "RECSYS_INTERACTIONS_TOPIC": (*NOT_A_TOPIC, "interactions.dlq", "courses", "exposures"),
    "RECSYS_DEAD_LETTER_TOPIC": (
        *(*NOT_A_TOPIC, "interactions", "courses", "exposures"),
        {"RECSYS_DEAD_LETTER_TOPIC": "a_b", "RECSYS_INTERACTIONS_TOPIC": "a.b"},
    ),
    "RECSYS_COURSES_TOPIC": (*NOT_A_TOPIC, "interactions", "interactions.dlq", "exposures"),
    "RECSYS_EXPOSURES_TOPIC": (*NOT_A_TOPIC, "interactions", "interactions.dlq", "courses"),
    "RECSYS_CONSUMER_GROUP": NOT_A_NAME,
    "RECSYS_SCHEMA_REGISTRY_URL": ("registry:8081", "ftp://registry", f"http://u:{PASSWORD}@registry", "http://a b"),
    "RECSYS_SCHEMA_REGISTRY_USERNAME": ("someone", {**REGISTRY, "RECSYS_SCHEMA_REGISTRY_USERNAME": "someone"}),
    "RECSYS_SCHEMA_REGISTRY_PASSWORD": (PASSWORD, {**REGISTRY, "RECSYS_SCHEMA_REGISTRY_PASSWORD": PASSWORD}),
    "REDIS_URL": (
        *("", "localhost", "localhost:6379", f"http://:{PASSWORD}@h", "redis://", "redis:///0", "redis://h:port"),
        *("redis://host/staging", "redis://h/-1", "redis://h/1.5", "redis://h/0/1", "redis://h:65536", "redis://h:0x1"),
        *("redis://h?db=3", f"redis://h?password={PASSWORD}", "redis://h/0?decode_responses=1", "redis://h/0#x"),
        *(f"redis://:{PASSWORD}/@h:6379", f"redis://:{PASSWORD}", f"redis://u:{PASSWORD}@h:{PASSWORD}/0"),
        *("redis://h:0", "redis://h,g", "redis://h g", "redis://h;1", "redis://[::1", f"redis://{PASSWORD}@h"),
        *(f"redis://:{PASSWORD}@h/staging", f"redis://h/{PASSWORD}", f"unix://:{PASSWORD}@/run/redis.sock"),
    ),
    "RECSYS_DEPLOYMENT": NOT_A_NAME,
    "RECSYS_REDIS_ALLOW_EVICTION": NOT_A_FLAG,
    "RECSYS_REDIS_KEY_PREFIX": ("a b", "{s1}", "a*", "a?", "[a]", "ä", "x" * 65, "a\n", "re{c}sys:"),
    "RECSYS_REDIS_USERNAME": (
        "someone",
        {"RECSYS_REDIS_USERNAME": "someone", "REDIS_URL": f"redis://other:{PASSWORD}@h"},
    ),
    "RECSYS_REDIS_PASSWORD": ({"RECSYS_REDIS_PASSWORD": PASSWORD, "REDIS_URL": f"redis://:{PASSWORD}@h"},),
    "RECSYS_REDIS_SSL_CA_FILE": (*NOT_A_FILE, __file__),
    "RECSYS_REDIS_SSL_CERT_FILE": (*NOT_A_FILE, __file__),
    "RECSYS_REDIS_SSL_KEY_FILE": (
        *NOT_A_FILE,
        __file__,
        {"RECSYS_REDIS_SSL_KEY_FILE": __file__, "REDIS_URL": "rediss://h"},
    ),
    "RECSYS_REDIS_SSL_KEY_PASSWORD": (
        PASSWORD,
        {"RECSYS_REDIS_SSL_KEY_PASSWORD": PASSWORD, "REDIS_URL": "rediss://h"},
    ),
    "RECSYS_REDIS_SSL_CHECK_HOSTNAME": NOT_A_FLAG,
    "RECSYS_ENGAGEMENT_HALF_LIFE_DAYS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-30", "1", "7.4"),
    "RECSYS_ENGAGEMENT_WEIGHTS": (
        *NOT_JSON,
        *('{"view": NaN}', '{"view": Infinity}', '{"view": 1e400}', '{"view": "many"}', '{"view": null}'),
        *(
            '{"glance": 1}',
            '{"view": [1]}',
            '{"view": true}',
            '{"view": "5"}',
            '{"view": 1e308}',
            f'{{"view": {"9" * 5000}}}',
        ),
    ),
    "RECSYS_ENGAGEMENT_MAX_COURSES": (*NOT_A_COUNT, "9" * 20, "9"),
    "RECSYS_DONE_PROGRESS": (*NOT_A_NUMBER, "0", "1.1", "-0.5"),
    "RECSYS_ENGAGEMENT_BUCKET_HOURS": (*NOT_A_NUMBER, "0", "-1", "8785"),
    "RECSYS_GIVE_BACK_DAYS": (*NOT_A_NUMBER, "-1", "36501"),
    "RECSYS_EXCLUDE_SEEN": NOT_A_FLAG,
    "RECSYS_TRENDING_HALF_LIFE_DAYS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-30", "1", "7.4"),
    "RECSYS_TRENDING_SIZE": (*NOT_A_COUNT, "0", "1001"),
    "RECSYS_WORKER_MAX_POLL_RECORDS": (*NOT_A_COUNT, "0", "5001"),
    "RECSYS_WORKER_METRICS_HOST": NOT_A_NAME,
    "RECSYS_WORKER_METRICS_PORT": (*NOT_A_COUNT, "65536"),
    "RECSYS_WORKER_SESSION_TIMEOUT_SECONDS": (*NOT_A_NUMBER, "0.9", "31"),
    "RECSYS_WORKER_STALL_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_WORKER_TOPIC_CHECK_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_RETRY_SECONDS": (*NOT_A_NUMBER, "0", "51"),
    "RECSYS_DEAD_LETTER_STOP_RECORDS": (*NOT_A_COUNT, "9" * 20, "9"),
    "RECSYS_DEAD_LETTER_STOP_SHARE": (*NOT_A_NUMBER, "0", "1.1"),
    "RECSYS_REFRESH_TOP_N": (*NOT_A_COUNT, "0", "501"),
    "RECSYS_REFRESH_BACKLOG_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "-1"),
    "RECSYS_REFRESH_RENEWALS_PER_SECOND": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_TOP_TTL_DAYS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_MONITOR_CONSUMER_GROUP": NOT_A_NAME,
    "RECSYS_MONITOR_METRICS_PORT": (*NOT_A_COUNT, "65536"),
    "RECSYS_MONITOR_SHARE": (*NOT_A_NUMBER, "0", "1.1"),
    "RECSYS_MONITOR_HISTORY_HOURS": (*NOT_A_NUMBER, "-1", "87601"),
    "RECSYS_FINETUNE_DIR": NOT_A_FOLDER,
    "RECSYS_FINETUNE_GROUP": NOT_A_NAME,
    "RECSYS_FINETUNE_METRICS_PORT": (*NOT_A_COUNT, "65536"),
    "RECSYS_FINETUNE_IDLE": ("maybe", "2"),
    "RECSYS_FINETUNE_BLOCK_OFFSETS": (*NOT_A_COUNT, "0", "5001"),
    "RECSYS_FINETUNE_CHECKPOINT_BLOCKS": (*NOT_A_COUNT, "0", "10001"),
    "RECSYS_FINETUNE_GATE_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_FINETUNE_GATE_EVENTS": (*NOT_A_COUNT, "1"),
    "RECSYS_FINETUNE_GATE_MOVED": (*NOT_A_NUMBER, "-1", "1.1", "0.9"),  # nothing could pass: agreement is 0.2
    "RECSYS_FINETUNE_GATE_AGREEMENT": (*NOT_A_NUMBER, "-1", "1.1"),
    "RECSYS_FINETUNE_LISTS_BEHIND": (*NOT_A_COUNT, "-1"),
    "RECSYS_FINETUNE_REJECTIONS": (*NOT_A_COUNT, "0"),
    "RECSYS_FINETUNE_MAX_LEARNERS": (*NOT_A_COUNT, "0"),
    "RECSYS_FINETUNE_NEW_COURSES": (*NOT_A_COUNT, "-1", "501"),
    "RECSYS_FINETUNE_NEW_COURSE_EVENTS": (*NOT_A_COUNT, "0"),
    "RECSYS_FINETUNE_NEW_COURSE_LEARNERS": (*NOT_A_COUNT, "0"),
    "RECSYS_FINETUNE_NEW_COURSE_DAYS": (*NOT_A_NUMBER, "0", "-1"),
    "RECSYS_MODELS_DIR": NOT_A_FOLDER,
    "RECSYS_REPORTS_DIR": NOT_A_FOLDER,
    "RECSYS_TEXT_ENCODER": (__file__, LONG),
    "RECSYS_MODELS_RETAINED": (*NOT_A_COUNT, "9" * 20, "1"),
    "RECSYS_MODEL_POLL_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "1e-300", "0", "-1"),
    "RECSYS_SERVING_HOST": NOT_A_NAME,
    "RECSYS_SERVING_PORT": (*NOT_A_COUNT, "65536", "tcp://10.0.0.1:8080"),
    "RECSYS_SERVING_ROOT_PATH": ("recommender", "/recommender/", "/a b", "/../a", "/."),
    "RECSYS_SERVING_TRUSTED_PROXIES": ("everybody", "10.0.0.0/99"),
    "RECSYS_SERVING_REDIS_TIMEOUT_MS": (*NOT_A_COUNT, "0", "5001"),
    "RECSYS_SERVING_DEFAULT_N": (*NOT_A_COUNT, "0", "51"),
    "RECSYS_SERVING_CACHE_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_SERVING_DONE_SECONDS": (*NOT_A_NUMBER, *TOO_MUCH, "0", "-1"),
    "RECSYS_SERVING_PRODUCE_TIMEOUT_MS": (*NOT_A_COUNT, "0", "60001"),
    "RECSYS_SERVING_FRESH_WAIT_MS": (*NOT_A_COUNT, "1001"),
    "RECSYS_SERVING_STATE_DIR": NOT_A_FOLDER,
    "RECSYS_EXPERIMENTS": (
        *("abc", "", "[1]", '{"a": 1}', '{"a": {}}', '{"a": {"x": 0.5}}', '{"a": {"x": NaN}}', '{"a": {"x": 1e400}}'),
        *(
            '{"a": {"x": true}}',
            '{"a": {"x": "1"}}',
            '{"": {"x": 1}}',
            '{"a": {"x\\n": 1}}',
            f'{{"{LONG}": {{"x": 1}}}}',
        ),
        *('{"a": {"x": 1.5, "y": -0.5}}', '{"a": {"x": 1}, "a": {"x": 1}}'),
    ),
    "RECSYS_XAPI_HOME_PAGES": ("lms", "[]", '{"https://lms": 1}', '{"https://lms": null}', '{"a": "", "a": "b"}'),
    "RECSYS_XAPI_STAFF_FILE": ("/nowhere/staff.csv", "/"),
    "RECSYS_XAPI_CREDENTIALS": (PASSWORD, f":{PASSWORD}", f"{PASSWORD}:"),
    "RECSYS_LOG_LEVEL": ("", "loud", "10"),
    "RECSYS_LOG_FORMAT": ("", "xml"),
    "RECSYS_SEED": (*NOT_A_COUNT, "4294967296"),
}

CASES = [(variable, bad) for variable, values in BAD.items() for bad in values]


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that was refused its settings."""
    with pytest.raises(SystemExit) as ended:
        main(["status"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(("variable", "bad"), CASES, ids=[f"{name}-{str(bad)[:30]}" for name, bad in CASES])
def test_a_value_that_cannot_work_is_one_line_without_a_secret(
    variable: str, bad: str | Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (bad if isinstance(bad, Mapping) else {variable: bad}).items():
        monkeypatch.setenv(name, value)
    line = refusal(capsys)
    assert line.startswith("recsys: ")
    assert variable in line
    assert PASSWORD not in line
    assert len(line) < 400


def test_every_setting_has_bad_values() -> None:
    assert set(BAD) == {row.variable for row in setting_rows()}


@pytest.mark.parametrize(
    "name",
    [
        *("RECSYS_INTERACTION_TOPIC", "recsys_seeds", "RECSYS_REDIS_PASWORD", "RECSYS_REDIS_URL"),
        *("KAFKA_BOOTSTRAP_SERVER", "REDIS_URI"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nearest = {
        "RECSYS_INTERACTION_TOPIC": "RECSYS_INTERACTIONS_TOPIC",
        "recsys_seeds": "RECSYS_SEED",
        "RECSYS_REDIS_PASWORD": "RECSYS_REDIS_PASSWORD",
        "RECSYS_REDIS_URL": "REDIS_URL",
        "KAFKA_BOOTSTRAP_SERVER": "KAFKA_BOOTSTRAP_SERVERS",
        "REDIS_URI": "REDIS_URL",
    }[name]
    monkeypatch.setenv(name, PASSWORD)
    assert refusal(capsys) == f"recsys: {name} is no setting: did you mean {nearest}?"


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_a_setting_of_an_earlier_release_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "24")
    assert f"{name} is no setting any more: take it out" in refusal(capsys)


def test_a_service_link_of_kubernetes_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECSYS_API_SERVICE_HOST", "10.0.0.1")
    assert "enableServiceLinks: false" in refusal(capsys)


def test_a_blank_optional_setting_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file passes on what nobody gave a value."""
    for row in setting_rows():
        if not row.default and row.variable != "RECSYS_SERVING_ROOT_PATH":
            monkeypatch.setenv(row.variable, " ")
    settings = load_settings()
    assert settings.redis.password is None
    assert settings.kafka_ssl_ca_file is None


@pytest.mark.parametrize("row", [row for row in setting_rows() if row.secret], ids=lambda row: row.variable)
class TestSecretFiles:
    def test_a_file_that_is_missing_empty_or_no_text_is_one_line(
        self, row: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        variable = str(getattr(row, "variable", ""))
        contents = {"empty": b"\n", "binary": b"\xff\xfe" + PASSWORD.encode()}
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        for name in ("missing", *contents):
            monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / name))
            line = refusal(capsys)
            assert line.startswith(f"recsys: {variable}_FILE: expected a file")
            assert PASSWORD not in line

    def test_a_secret_given_both_ways_is_refused(
        self, row: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        variable = str(getattr(row, "variable", ""))
        (tmp_path / "secret").write_text(PASSWORD)
        monkeypatch.setenv(variable, PASSWORD)
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
        line = refusal(capsys)
        assert line == f"recsys: expected one of {variable} and {variable}_FILE, and both are set"
