"""The command line: what ends a command is one line and an exit status, never a traceback."""

import pytest

from recsys.cli import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "mars", "--source", "x" * 5000, "--out", "o"],
        ["evaluate", "--interactions", f"{'x' * 5000}.csv", "--courses", "c.csv", "--no-report"],
    ],
)
def test_a_name_that_no_file_can_have_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("File name too long")
    assert len(line) < 300
