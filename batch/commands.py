"""`recsys retrain` and `recsys evaluate`: the composition roots of the batch layer.

TensorFlow takes ten seconds to import, so what needs it is imported when a command runs, after its inputs were checked.

Who runs a command in this process may hand on other hyperparameters than the default ones as click's `obj`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from batch.history import History, from_files
from batch.options import check_outputs, history_source, hyperparameters_of
from batch.preparation import Prepared, prepare, rule_of
from batch.stages import Stage, shown_stages
from recsys.errors import InputError
from recsys.model.hyperparameters import HyperParameters
from recsys.model.scorer import Scorer
from recsys.online_store.redis.store import DAY_S, RedisStore
from recsys.process.atomic import write_atomically
from recsys.process.clock import now_ms
from recsys.process.folders import require_writable
from recsys.process.native_logs import import_tensorflow
from recsys.settings import Settings, load_settings

if TYPE_CHECKING:  # these import TensorFlow and scikit-learn
    from batch.pipeline import Retrained
    from batch.text_encoders import TextEncoder

# TensorFlow takes a GPU's whole memory at once; who wants it to sets the variable.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

_file = click.Path(path_type=Path, dir_okay=False)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


@click.command()
@click.option("--from-topic", "from_topic_", is_flag=True, help="Read history and catalogue from Kafka.")
@click.option("--interactions", type=_file, help="Read history from this file (csv or parquet).")
@click.option("--courses", type=_file, help="The catalogue that goes with --interactions.")
@click.option("--no-publish", is_flag=True, help="Write bundle and report; move no pointer, need no Redis.")
@click.option("--epochs", type=click.IntRange(1, 100), help="Passes over the history.  [default: 5]")
@_json_option
@click.pass_obj
def retrain(
    start: HyperParameters | None,
    from_topic_: bool,
    interactions: Path | None,
    courses: Path | None,
    no_publish: bool,
    epochs: int | None,
    as_json: bool,
) -> None:
    """Train the hybrid model on history, evaluate it, and publish it if the gate lets it pass.

    Writes a bundle and a report, moves the pointer in Redis, and computes the first cached lists, at most 10,000; the
    workers compute the others. Exit status 6: the gate refused the model; 7: another one was published meanwhile.
    """
    settings = load_settings()
    hyperparameters = hyperparameters_of(settings, epochs, start)
    require_writable(settings.models_dir, "RECSYS_MODELS_DIR")
    require_writable(settings.reports_dir, "RECSYS_REPORTS_DIR")
    with shown_stages() as stage:
        read = history_source(settings, from_topic_, interactions, courses, stage)
        if no_publish:
            result = _train(settings, read, None, hyperparameters, stage)
            _print_retrained(result, 0, as_json=as_json, published=False)
        else:
            result, filled = asyncio.run(_train_and_publish(settings, read, hyperparameters, stage))
            _print_retrained(result, filled, as_json=as_json, published=True)


@click.command()
@click.option("--interactions", type=_file, required=True, help="History (csv or parquet).")
@click.option("--courses", type=_file, required=True, help="Its catalogue.")
@click.option("--json", "out", type=_file, help="Write all figures to this file as one JSON object.")
@click.option("--report", "report", type=str, help="Name of the report's folder.  [default: evaluate-TIME]")
@click.option("--no-report", is_flag=True, help="Write no report.")
@click.option("--epochs", type=click.IntRange(1, 100), help="Passes over the history.  [default: 5]")
@click.option(
    "--seeds", type=click.IntRange(1, 20), default=1, show_default=True, help="Hybrids trained, each from another seed."
)
@click.pass_obj
def evaluate(
    start: HyperParameters | None,
    interactions: Path,
    courses: Path,
    out: Path | None,
    report: str | None,
    no_report: bool,
    epochs: int | None,
    seeds: int,
) -> None:
    """Compare the hybrid model with its baselines on files alone, cut in time; needs no services."""
    settings = load_settings()
    check_outputs(settings, out, report, no_report=no_report)
    started_ms = now_ms()
    with shown_stages() as stage:
        stage("reading")
        prepared = _prepared(settings, from_files(interactions, courses))
        encoder = _text_encoder(settings)
        _import_tensorflow(settings)
        from batch.evaluation.comparison import run_experiment  # noqa: PLC0415 - as above
        from batch.evaluation.figures import figures_of  # noqa: PLC0415 - as above
        from batch.evaluation.report import PAGE, write_report  # noqa: PLC0415 - as above
        from batch.evaluation.verdict import beside, table, verdict  # noqa: PLC0415 - as above

        hyperparameters = hyperparameters_of(settings, epochs, start)
        experiment = run_experiment(
            prepared.events,
            prepared.courses,
            hyperparameters,
            rule_of(settings),
            seeds=seeds,
            encoder=encoder,
            stage=stage,
        )
        facts = {"history": prepared.facts, "account_lines": prepared.account.lines()}
        document = {**figures_of(experiment), **facts}
        if not no_report:
            stage("writing the report")
            facts["hyperparameters"] = asdict(experiment.hyperparameters)
            folder = write_report(settings.reports_dir, report or f"evaluate-{started_ms}", experiment, facts)
            _tell(f"report: {folder / PAGE}")
        if out is not None:
            _write_whole(out, msgspec.json.format(msgspec.json.encode(document), indent=1))
    click.echo("\n".join([*table(document), "", verdict(document), *beside(document)]))


async def _train_and_publish(
    settings: Settings, read: Callable[[], History], hyperparameters: HyperParameters, stage: Stage
) -> tuple[Retrained, int]:
    """Asks for Redis first: an hour of training must not end at a closed door."""
    from batch.evaluation.golden import write_golden  # noqa: PLC0415 - as below
    from batch.publish import fill_caches, published_model  # noqa: PLC0415 - only with Redis
    from recsys.model.publishing import drop_outdated_lists, publish_bundle, settle_seconds  # noqa: PLC0415 - as above

    store = RedisStore.for_stream(settings.redis, top_ttl_s=settings.top_ttl_days * DAY_S)
    try:
        await store.topology()  # Redis answers, and its state is one that this release reads
        before = await published_model(store, settings.models_dir)
        result = await asyncio.to_thread(_train, settings, read, before.scorer, hyperparameters, stage)
        scorer, _ = await publish_bundle(
            store, result.bundle, replacing=before.pointer, at_ms=now_ms(), keep=settings.models_retained
        )
        if result.golden is not None:
            write_golden(result.bundle.parent, result.golden)
        stage("deleting the lists of the model before")
        await drop_outdated_lists(store, settle_s=settle_seconds(settings.model_poll_seconds))
        filled = await fill_caches(
            store,
            scorer,
            at_ms=now_ms(),
            top_n=settings.refresh_top_n,
            exclusion=settings.exclusion,
            progress=stage("filling the caches"),
        )
    finally:
        await store.close()
    return result, filled


def _train(
    settings: Settings,
    read: Callable[[], History],
    current: Scorer | None,
    hyperparameters: HyperParameters,
    stage: Stage,
) -> Retrained:
    prepared = _prepared(settings, read())
    encoder = _text_encoder(settings)
    _import_tensorflow(settings)
    from batch.pipeline import retrain as run  # noqa: PLC0415 - TensorFlow

    return run(
        prepared,
        settings,
        hyperparameters,
        current,
        at_ms=now_ms(),
        encoder=encoder,
        stage=stage,
    )


def _prepared(settings: Settings, history: History) -> Prepared:
    """The history, ready to train on; nobody keeps what was read, so most of its memory is free again.

    Raises:
        InputError: When nothing is left to train on.
    """
    prepared = prepare(history, at_ms=now_ms(), rules=settings.record_rules)
    for line in prepared.account.lines():
        _tell(line)
    return prepared


def _tell(line: str) -> None:
    """On stderr, so that stdout stays one JSON object or the table."""
    click.echo(line, err=True)


def _text_encoder(settings: Settings) -> TextEncoder:
    """What reads the courses' texts, loaded before TensorFlow is imported.

    PyTorch's Triton has an LLVM of its own, as TensorFlow has, and aborts the process if it is loaded second ("LLVM
    ERROR: inconsistency in registered CommandLine options").
    """
    from batch.text_encoders import encoder_of  # noqa: PLC0415 - scikit-learn

    return encoder_of(settings.text_encoder)


def _import_tensorflow(settings: Settings) -> None:
    import_tensorflow(quiet=settings.log_level.lower() != "debug")


def _print_retrained(result: Retrained, filled: int, *, as_json: bool, published: bool) -> None:
    from batch.summary import document, lines  # noqa: PLC0415 - TensorFlow

    if as_json:
        click.echo(msgspec.json.encode(document(result, filled, published=published)))
    else:
        click.echo("\n".join(lines(result, filled, published=published)))


def _write_whole(path: Path, value: bytes) -> None:
    try:
        write_atomically(path, value)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
