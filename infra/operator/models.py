"""`recsys models list | show | rollback`: which model is published, which bundles there are, and the way back.

Who rolls back in this process may hand on, as click's `obj`, how many seconds workers take to follow.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeVar

import click
import msgspec
from rich.table import Column, Table
from rich.text import Text

from infra.operator.model_listing import BundleRow, Standing, bundle_rows, folder_of
from recsys.errors import BundleError, ConfigurationError, ServiceUnavailable, UnreadableState
from recsys.model.bundle import load_bundle, load_manifest
from recsys.model.publications import Publications
from recsys.model.publishing import drop_outdated_lists, noted_publications, publish_bundle, settle_seconds
from recsys.model.retention import bundle_versions
from recsys.online_store import ModelPointer
from recsys.online_store.redis.store import RedisStore
from recsys.process.clock import now_ms
from recsys.settings import Settings, load_settings
from recsys.terminal_tables import print_table

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_Result = TypeVar("_Result")


@click.group("models")
def models() -> None:
    """List and show model bundles, and go back to an earlier one."""


@models.command("list")
@_json_option
def list_(as_json: bool) -> None:
    """List the bundles of the models folder, the newest first: which one is published, and how well each did."""
    settings = load_settings()
    standing = _with_store(settings, lambda store: _standing(settings, store))
    rows = bundle_rows(settings.models_dir, standing, now_ms=now_ms())
    if as_json:
        current, previous = (None if each is None else each.version for each in (standing.current, standing.previous))
        document = {"current": current, "previous": previous, "problem": standing.problem}
        click.echo(json.dumps({**document, "models": [asdict(row) for row in rows]}))
        return
    if rows:
        print_table(_table(rows))
    if standing.problem:
        click.echo(f"{standing.problem}; shown as noted beside the bundles")
    click.echo("no model published" if standing.current is None else f"published: {standing.current.version}")


@models.command()
@click.argument("version")
@_json_option
def show(version: str, as_json: bool) -> None:
    """Show one bundle: its manifest, whether every file verifies, and what it is now."""
    settings = load_settings()
    standing = _with_store(settings, lambda store: _standing(settings, store))
    rows = {row.version: row for row in bundle_rows(settings.models_dir, standing, now_ms=now_ms())}
    if version not in rows:
        raise ConfigurationError(f"{settings.models_dir} holds no bundle {version} (`recsys models list`)")
    row, folder = rows[version], folder_of(settings.models_dir, version, standing)
    manifest = load_manifest(folder)
    try:
        load_bundle(folder)
        verified = "yes"
    except BundleError as error:
        verified = f"no: {error}"
    document = {**asdict(row), "folder": str(folder), "verified": verified, "manifest": msgspec.to_builtins(manifest)}
    if as_json:
        click.echo(json.dumps(document))
        return
    for name, value in document.items():
        if name != "manifest":
            click.echo(f"{name}: {_shown(name, value)}")
    click.echo(f"manifest: {json.dumps(document['manifest'], indent=1)}")


@models.command()
@click.argument("version", required=False)
@click.option("--never-published", is_flag=True, help="Take a bundle, too, that was never published.")
@_json_option
@click.pass_obj
def rollback(follow_s: float | None, version: str | None, never_published: bool, as_json: bool) -> None:
    """Publish an earlier bundle again; without a VERSION, the one published before the present one.

    The bundle is verified first. Workers and the API follow within seconds; lists of the withdrawn model are not
    answered from then on. A rollback is a publication: a second one, without a VERSION, goes forward again.
    """
    settings = load_settings()
    settle_s = settle_seconds(settings.model_poll_seconds) if follow_s is None else follow_s
    before, pointer, dropped = _with_store(
        settings,
        lambda store: _roll_back(settings, store, version, never_published=never_published, settle_s=settle_s),
    )
    withdrawn = None if before is None else before.version
    if as_json:
        click.echo(json.dumps({"published": pointer.version, "withdrawn": withdrawn, "lists_dropped": dropped}))
    else:
        click.echo(f"published: {pointer.version}; withdrawn: {withdrawn or 'none'}")
        click.echo(f"lists of other models deleted here: {dropped} (workers delete those of their shards)")


def _with_store(settings: Settings, work: Callable[[RedisStore], Awaitable[_Result]]) -> _Result:
    async def run() -> _Result:
        store = RedisStore.for_stream(settings.redis)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def _standing(settings: Settings, store: RedisStore) -> Standing:
    """What is published, from Redis; from the note beside the bundles where Redis cannot say."""
    noted = noted_publications(settings.models_dir)
    newest = (*noted.published[:2], None, None)
    try:
        current = await store.model()
    except (ServiceUnavailable, UnreadableState) as error:
        return Standing(newest[0], newest[1], noted, problem=str(error), pointer_known=False)
    try:
        return Standing(current, await store.previous_model(), noted)
    except (ServiceUnavailable, UnreadableState) as error:
        before = next((each for each in noted.published if each != current), None)
        return Standing(current, before, noted, problem=str(error))


async def _roll_back(
    settings: Settings, store: RedisStore, version: str | None, *, never_published: bool, settle_s: float
) -> tuple[ModelPointer | None, ModelPointer, int]:
    await store.ping()
    standing = await _standing(settings, store)
    chosen = _chosen(settings, standing, version, never_published=never_published)
    before, unreadable = standing.current, False
    if not standing.pointer_known:
        try:
            before = await store.model()
        except UnreadableState:
            before, unreadable = None, True
    _, pointer = await publish_bundle(
        store,
        folder_of(settings.models_dir, chosen, standing),
        replacing=before,
        at_ms=now_ms(),
        keep=settings.models_retained,
        over_unreadable=unreadable,
    )
    dropped = await drop_outdated_lists(store, settle_s=settle_s)
    return standing.current, pointer, dropped


def _chosen(settings: Settings, standing: Standing, version: str | None, *, never_published: bool) -> str:
    """The version to publish.

    Raises:
        ConfigurationError: There is none before, or the one named is published now, unknown, or was never published.
    """
    if version is None:
        if standing.previous is None:
            raise ConfigurationError("no model was published before this one; name a VERSION of `recsys models list`")
        return standing.previous.version
    if standing.current is not None and version == standing.current.version and standing.pointer_known:
        raise ConfigurationError(f"{version} is the published model already")
    if version not in bundle_versions(settings.models_dir):
        raise ConfigurationError(f"{settings.models_dir} holds no bundle {version} (`recsys models list`)")
    published = _published(standing)
    if version not in published and not never_published:
        raise ConfigurationError(
            f"{version} was never published, so no gate let it pass; --never-published takes it all the same"
        )
    return version


def _published(standing: Standing) -> set[str]:
    known = [each for each in (standing.current, standing.previous) if each is not None]
    return Publications((*known, *standing.noted.published)).versions()


def _table(rows: list[BundleRow]) -> Table:
    version = Column("version", no_wrap=True)  # whole in a narrow terminal too: it is what `show` and `rollback` take
    table = Table(version, "state", "published", "model", "events", "NDCG@10", "kept because")
    for row in rows:
        ndcg = "" if row.ndcg is None else f"{row.ndcg:.4f}"
        events = "" if row.events is None else str(row.events)
        published = _time(row.published_at_ms) or "never"
        named = (row.model, events, ndcg, row.problem or row.kept_because)
        # As text, because rich would read [brackets] as markup.
        table.add_row(*map(Text, (row.version, row.state, published, *named)))
    return table


def _shown(name: str, value: object) -> str:
    if name.endswith("_at_ms"):
        return _time(value if isinstance(value, int) else None)
    return "" if value is None else str(value)


def _time(at_ms: int | None) -> str:
    return "" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
