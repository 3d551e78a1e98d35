"""What a case is and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.faults.fleet import STOP_S
from tests.faults.verdict import Verdict

if TYPE_CHECKING:
    from tests.faults.stage import Stage


@dataclass(slots=True)
class Findings:
    """What a case found.

    Attributes:
        recovery_s: Seconds until the system was well again, the longest of all faults; None where there is none.
        limit_s: What `recovery_s` may be at most.
        figures: More numbers, for the report.
        problems: What did not hold, a line each; any makes the case fail.
        verdict: The oracle's.
    """

    recovery_s: float | None = None
    limit_s: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    def ended(self, ends: Sequence[tuple[int, float]]) -> None:
        """Expects stopped workers to have ended in order and in time; exit status and seconds of each."""
        self.expect(
            all(status == 0 and seconds <= STOP_S for status, seconds in ends),
            f"expected workers to end with 0 within {STOP_S:g} s, received {ends}",
        )

    def expect(self, holds: bool, problem: str) -> None:
        """Notes a problem unless it holds."""
        if not holds:
            self.problems.append(problem)

    def recovered(self, seconds: float, limit_s: float) -> None:
        """Notes a recovery; the longest counts."""
        self.recovery_s = round(max(seconds, self.recovery_s or 0.0), 1)
        self.limit_s = limit_s


@dataclass(frozen=True, slots=True)
class Case:
    """A case of `TESTS.md`.

    Attributes:
        name: T1 to T24.
        title: What happens to the system.
        run: Does it, on a stage of its own.
    """

    name: str
    title: str
    run: Callable[[Stage], Findings]


@dataclass(slots=True)
class Outcome:
    """A case's line in the report."""

    case: str
    title: str
    passed: bool
    lost: int
    doubled: int
    wrong: int
    recovery_s: float | None
    limit_s: float | None
    seconds: float
    figures: dict[str, Any]
    problems: list[str]

    @classmethod
    def of(cls, case: Case, findings: Findings, seconds: float) -> Outcome:
        verdict = findings.verdict
        problems = [*findings.problems, *verdict.differences]
        if findings.recovery_s is not None and findings.recovery_s > (findings.limit_s or float("inf")):
            problems.insert(0, f"expected recovery within {findings.limit_s:g} s, received {findings.recovery_s:g} s")
        return cls(
            case=case.name,
            title=case.title,
            passed=verdict.passed and not problems,
            lost=verdict.lost,
            doubled=verdict.doubled,
            wrong=verdict.wrong,
            recovery_s=findings.recovery_s,
            limit_s=findings.limit_s,
            seconds=round(seconds, 1),
            figures=findings.figures,
            problems=problems,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


CASES: dict[str, Case] = {}


def case(name: str, title: str) -> Callable[[Callable[[Stage], Findings]], Callable[[Stage], Findings]]:
    """Registers a case."""

    def register(run: Callable[[Stage], Findings]) -> Callable[[Stage], Findings]:
        CASES[name] = Case(name, title, run)
        return run

    return register


def conclude(stage: Stage, findings: Findings) -> Findings:
    """Ends the load, lets the workers finish, stops them, and asks the oracle."""
    stage.finish_load()
    findings.figures["drain_s"] = round(stage.drain(), 1)
    stage.wait_until(stage.fleet.started, within_s=90.0, what="every worker in the group")
    ends = stage.fleet.stop()
    findings.ended(ends)
    findings.verdict = stage.verdict()
    assert stage.load is not None
    findings.figures["records"] = stage.load.produced
    return findings
