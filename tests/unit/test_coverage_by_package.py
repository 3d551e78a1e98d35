"""The table that `make coverage` prints."""

from tests.coverage_by_package import by_package


def summary(lines: int, statements: int, branches: int = 0, exits: int = 0) -> dict[str, int]:
    return {
        "covered_lines": lines,
        "num_statements": statements,
        "covered_branches": branches,
        "num_branches": exits,
    }


def test_lines_and_branches_are_added_up_by_package_and_in_all() -> None:
    files = [
        ("stream/engagement/fold.py", summary(8, 10, 1, 2)),
        ("stream/engagement/gaps.py", summary(5, 5)),
        ("recsys/keys.py", summary(0, 3)),
    ]
    assert by_package(files) == {"recsys": (0, 3), "stream.engagement": (14, 17), "all": (14, 20)}
