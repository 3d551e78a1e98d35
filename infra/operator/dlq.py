"""`recsys dlq` lists what the stream refused, shows one letter in full, and replays letters to the interactions topic.

This is the composition root: it makes clients, draws the progress and prints.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.operator.dead_letter_learners import noting_learners
from infra.operator.dead_letter_replay import Account, Attempts
from infra.operator.dead_letter_text import by_reason, bytes_of, escaped, line, shown, summary
from infra.operator.dead_letters import DeadLetterTopic, Selection, dead_letter_topic
from infra.operator.rate import Rate
from recsys.dead_letters import DeadLetter
from recsys.errors import RefusalReason
from recsys.kafka.bulk_producer import Record, connect, produce
from recsys.online_store.outdated import any_topology
from recsys.online_store.redis.store import RedisStore
from recsys.settings import Settings, load_settings
from recsys.times import parse_time

MAX_REPLAYS = 3


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say which letters are meant."""
    reasons = click.Choice([reason.value for reason in RefusalReason])
    for option in (
        click.option("--until", metavar="TIME", help="Only letters appended before epoch ms or an RFC 3339 time."),
        click.option("--since", metavar="TIME", help="Only letters appended at or after it."),
        click.option("--reason", "reasons", type=reasons, multiple=True, help="Only of this reason; repeatable."),
    ):
        command = option(command)
    return command


def _selection(reasons: tuple[str, ...], since: str | None, until: str | None) -> Selection:
    return Selection(
        frozenset(reasons),
        None if since is None else parse_time(since, "--since"),
        None if until is None else parse_time(until, "--until"),
    )


@click.group("dlq")
def dlq() -> None:
    """List, show and replay dead letters: records the stream refused."""


@dlq.command("list")
@_selecting
@click.option("--json", "as_json", is_flag=True, help="A line of JSON each, and no summary.")
def list_(reasons: tuple[str, ...], since: str | None, until: str | None, as_json: bool) -> None:
    """Print the letters, one line each, and how many there are of each reason."""
    selection = _selection(reasons, since, until)
    counts: Counter[str] = Counter()
    with dead_letter_topic(load_settings()) as topic:
        for letter in topic.letters(selection):
            counts[letter.reason] += 1
            click.echo(json.dumps(summary(letter)) if as_json else line(letter))
    if not as_json:
        click.echo(by_reason(counts, "dead letters"))


@dlq.command("show")
@click.option("--partition", required=True, type=click.IntRange(min=0), help="Of the dead-letter topic.")
@click.option("--offset", required=True, type=click.IntRange(min=0), help="In that partition.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all bytes of the value.")
def show(partition: int, offset: int, as_json: bool) -> None:
    """Print one letter in full: why it was refused, and key, value and headers as they came."""
    with dead_letter_topic(load_settings()) as topic:
        letter = topic.letter(partition, offset)
    if as_json:
        headers = [{"name": name, **bytes_of("value", value)} for name, value in letter.headers]
        whole = {**summary(letter), **bytes_of("value", letter.value), "headers": headers, "errors": letter.errors}
        click.echo(json.dumps(whole))
        return
    click.echo(line(letter))
    for name, text in letter.errors.items():
        click.echo(f"  {escaped(name)}: {escaped(text)}")
    click.echo(f"key: {shown(letter.key)}")
    for name, value in letter.headers:
        click.echo(f"header {escaped(name)}: {shown(value)}")
    click.echo(f"value: {shown(letter.value)}")


@dlq.command("replay")
@_selecting
@click.option("--execute", is_flag=True, help="Do it; without this nothing is sent.")
@click.option("--rate", type=Rate(), help="Records a second at most.")
@click.option(
    "--max-replays",
    type=click.IntRange(min=1),
    default=MAX_REPLAYS,
    show_default=True,
    help="A letter replayed this often is left alone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def replay(
    *,
    reasons: tuple[str, ...],
    since: str | None,
    until: str | None,
    execute: bool,
    rate: float | None,
    max_replays: int,
    as_json: bool,
) -> None:
    """Send letters back to the interactions topic. Says what it would do; --execute does it.

    Repeating it is safe: an event that was applied already changes nothing. What a learner did before they were erased
    (`recsys erase`) is left alone, so Redis has to answer.
    """
    settings = load_settings()
    selection = _selection(reasons, since, until)
    account = Account()
    with dead_letter_topic(settings) as topic:
        # A letter that was replayed and refused again has its newer letter behind it, whatever the filters say.
        learners: set[str] = set()
        attempts = Attempts(noting_learners(topic.letters(Selection()), learners))
        erased = asyncio.run(_erased(settings, learners))

        def records(letters: Iterable[DeadLetter]) -> Iterator[Record]:
            return account.records(letters, attempts, max_replays, erased)

        if execute:
            _send(settings, topic, selection, records, rate=rate)
        else:
            for _ in records(topic.letters(selection)):
                pass
    figures = {"executed": execute, "replayed": account.replayed, "left": account.left}
    click.echo(json.dumps(figures) if as_json else _account(account, execute=execute))


def _send(
    settings: Settings,
    topic: DeadLetterTopic,
    selection: Selection,
    records: Callable[[Iterable[DeadLetter]], Iterator[Record]],
    *,
    rate: float | None,
) -> None:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    producer = connect(settings, settings.interactions_topic)
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("dead letters", total=None)
            letters = topic.letters(selection, lambda done, total: progress.update(task, completed=done, total=total))
            produce(producer, settings.interactions_topic, records(letters), rate=rate)
    finally:
        producer.close(timeout=1)


async def _erased(settings: Settings, learners: Collection[str]) -> Mapping[str, int]:
    """Those of the learners who were erased, with the time of it."""
    store = RedisStore.for_stream(settings.redis)
    try:
        topology = await any_topology(store)
        if topology is None or topology.state_format == 1:  # the release that wrote it knew no erasures
            return {}
        return await store.erased_until(topology, learners)
    finally:
        await store.close()


def _account(account: Account, *, execute: bool) -> str:
    lines = [by_reason(account.replayed, "replayed and acknowledged" if execute else "would be replayed")]
    lines += [f"{count} left alone: {why.replace('_', ' ')}" for why, count in sorted(account.left.items())]
    if not execute:
        lines.append("nothing was sent; --execute does it")
    return "\n".join(lines)
