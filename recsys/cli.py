"""The `recsys` command: a table of commands, each imported only when it is called.

This is the one place that names every layer's package, by string; so `recsys --help` answers without importing
TensorFlow, and `recsys` (the package) imports none of them.
"""

from __future__ import annotations

import importlib
import sys

import click

from recsys.errors import ConfigurationError, InputError, RecsysError
from recsys.process.standard_output import flush_standard_output, prepare_standard_output

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "infra.devtools.demo:command",
        "Show all of it on this machine: history, model, clicks, changed lists, fine-tuning.",
    ),
    "simulate": (
        "batch.datasets.commands:simulate",
        "Write a simulated catalogue and its interactions to files.",
    ),
    "import": ("batch.datasets.commands:import_", "Turn a public data set into the neutral files."),
    "topics": (
        "infra.operator.commands:topics",
        "Create the Kafka topics that are missing, check those that are there.",
    ),
    "replay": ("infra.operator.replay:command", "Produce interaction and course files to Kafka."),
    "ingest": ("infra.ingest.commands:ingest", "Send what a learning platform wrote to the interactions topic."),
    "dlq": ("infra.operator.dlq:dlq", "List, show and replay dead letters: records the stream refused."),
    "erase": ("infra.operator.erase:command", "Erase a learner; print a receipt of what is gone and what stays where."),
    "stream": ("stream.command:stream", "Run one engagement worker."),
    "monitor": ("stream.monitor.command:monitor", "Judge what would have been recommended before each event."),
    "finetune": ("stream.finetuning.command:finetune", "Learn increments of the published model from the stream."),
    "retrain": ("batch.commands:retrain", "Train a model on the history; publish it if the gate lets it pass."),
    "evaluate": ("batch.commands:evaluate", "Compare the hybrid model with its baselines on files, split in time."),
    "engagement": ("stream.engagement.commands:engagement", "Print the engagement scores the store holds."),
    "status": ("infra.operator.commands:status", "Show fence, counters and lag of each partition; the model in use."),
    "doctor": (
        "infra.operator.doctor.command:command",
        "Check settings, Kafka, Redis, their agreement and the model; say what to do.",
    ),
    "models": ("infra.operator.models:models", "List and show model bundles, and go back to an earlier one."),
    "resume": ("infra.operator.commands:resume", "Let a stopped partition go on."),
    "rebuild": ("stream.rebuild.command:rebuild", "Fold the topic into new shards, then switch to them."),
    "serve": ("serving.commands:serve", "Run the HTTP API."),
    "recommend": ("serving.commands:recommend", "Print the API's answer for one learner."),
    "settings": ("recsys.settings.table:command", "List every setting with its default and meaning."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when called, and listed from `COMMANDS` without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if not _is_not_installed(error):
                raise
            raise ConfigurationError(
                f"`recsys {cmd_name}` is not part of this installation: {_missing(error)}"
            ) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="course-stream-recommender", prog_name="recsys")
def recsys() -> None:
    """Course recommendations that change within a second of a click.

    Services come from KAFKA_BOOTSTRAP_SERVERS and REDIS_URL; every other setting has the prefix RECSYS_
    (`recsys settings` lists them). Start with `recsys demo`.
    """


def _is_not_installed(error: ImportError) -> bool:
    """Whether an installation lacks something; a name of our own that is not there is a fault of ours."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        return package not in {"recsys", "stream", "serving", "batch"} and not (error.name or "").startswith("infra.op")
    return (error.path or "").endswith(".so")


def _missing(error: ImportError) -> str:
    """What cannot be imported: a module that is not installed, or a library of the system that a module needs."""
    missing = f"there is no module {error.name}" if isinstance(error, ModuleNotFoundError) else f"{error.name}: {error}"
    return f"{missing} (an image holds what its processes need; `make setup` installs everything)"


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; an error raised on purpose becomes one line on stderr and its exit status.

    So does a file or folder that the system refuses (a name that is too long, a right that is missing): status 2.
    """
    prepare_standard_output()
    try:
        try:
            recsys.main(args=arguments, prog_name="recsys")
        finally:
            flush_standard_output()
    except OSError as error:
        if error.filename is None:  # no file or folder that somebody named
            raise
        click.echo(f"recsys: {str(error.filename)[:200]}: {error.strerror}", err=True)
        sys.exit(InputError.exit_status)
    except ImportError as error:  # of what a command imports once it runs
        if not _is_not_installed(error):
            raise
        click.echo(f"recsys: this installation lacks a part of the command: {_missing(error)}", err=True)
        sys.exit(ConfigurationError.exit_status)
    except RecsysError as error:
        click.echo(f"recsys: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
