"""`--rate`: a finite number above 0."""

import click
import pytest
from click.testing import CliRunner

from infra.operator.dlq import dlq
from infra.operator.rate import Rate
from infra.operator.replay import command as replay


@pytest.mark.parametrize("rate", ["nan", "inf", "-inf", "0", "-1", "fast"])
@pytest.mark.parametrize(("command", "options"), [(replay, ["--interactions", "i.csv"]), (dlq, ["replay"])])
def test_a_rate_that_is_no_rate_is_refused(command: click.Command, options: list[str], rate: str) -> None:
    result = CliRunner().invoke(command, [*options, "--rate", rate])

    assert result.exit_code == 2
    assert "--rate" in result.output


def test_a_rate_is_a_number() -> None:
    assert Rate().convert("2.5", None, None) == 2.5
