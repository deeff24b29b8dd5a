"""The checks of a run beside its balance: what is agreed about its figures, and what becomes of a breach."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from elspeth_dagster.accounting import Counts, Measure, Outcome, Tally, counts_of_run
from elspeth_dagster.graph import EdgeMode, Graph
from elspeth_dagster.settings import CheckSettings


@dataclass(frozen=True)
class Acceptance:
    """Somebody's word that a run may leave although a check does not pass."""

    by: str
    reason: str


@dataclass(frozen=True)
class CheckResult:
    """One check of a run.

    Attributes:
        check: Its name, which is the key below `dagster.checks`.
        figure: What was found: a number of rows, or a fraction of them.
        limit: What is agreed.
        severity: `error` or `warn`.
        blocking: Whether nothing is published unless it passes.
        passed: Whether the limit is kept.
        accepted: Who let the run pass in spite of it, and why; None unless it was needed.
    """

    check: str
    figure: float
    limit: float
    severity: str
    blocking: bool
    passed: bool
    accepted: Acceptance | None = None

    @property
    def holds_back(self) -> bool:
        """Whether nothing may be published for this."""
        return self.blocking and not self.passed and self.accepted is None

    def accepted_as(self, before: "CheckResult | None") -> "CheckResult":
        """The same, accepted as it was at an earlier moment, unless what it found is worse than then."""
        if before is None or before.accepted is None or self.passed:
            return self
        worse = self.figure < before.figure if self.check == "min_rows" else self.figure > before.figure
        return self if worse else replace(self, accepted=before.accepted)

    def facts(self) -> dict[str, Any]:
        """The result as the record keeps it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "CheckResult":
        """The result that the record keeps."""
        accepted = facts.get("accepted")
        return cls(**{**facts, "accepted": Acceptance(**accepted) if accepted else None})

    def __str__(self) -> str:
        agreed = "at least" if self.check == "min_rows" else "at most"
        return f"{_SAYS[self.check]}: {_shown(self.figure)}; agreed: {agreed} {_shown(self.limit)}"


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.6g}"


@dataclass(frozen=True)
class Verdict:
    """What the checks say of a run at one moment.

    Attributes:
        rows: Records read.
        results: The checks that are asked for.
    """

    rows: int
    results: tuple[CheckResult, ...] = ()

    @property
    def held_back_by(self) -> tuple[CheckResult, ...]:
        """The checks for which nothing may be published."""
        return tuple(result for result in self.results if result.holds_back)

    def facts(self) -> dict[str, Any]:
        """The verdict as the record keeps it."""
        facts: dict[str, Any] = {"rows": self.rows}
        if self.results:
            facts["checks"] = [result.facts() for result in self.results]
        return facts

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Verdict":
        """The verdict that the record keeps."""
        return cls(facts["rows"], tuple(CheckResult.of_facts(found) for found in facts.get("checks", ())))


def evaluate(checks: CheckSettings, counts: Counts) -> tuple[CheckResult, ...]:
    """Holds a run's counts against what is agreed."""
    results = []
    for name, agreed in checks.limits():
        figure = _FIGURES[name](counts)
        passed = figure >= agreed.limit if name == "min_rows" else figure <= agreed.limit
        results.append(CheckResult(name, figure, agreed.limit, agreed.severity.value, agreed.blocks, passed))
    return tuple(results)


def quarantined_fraction(counts: Counts) -> float:
    """Rows set aside, as a fraction of the records read; 0 when none was read."""
    return counts.quarantined / counts.rows_in if counts.rows_in else 0.0


_FIGURES: Mapping[str, Callable[[Counts], float]] = {
    "max_quarantined_fraction": quarantined_fraction,
    "max_failed": lambda counts: counts.failed,
    "min_rows": lambda counts: counts.rows_in,
}
_SAYS = {
    "max_quarantined_fraction": "rows set aside, as a fraction of the records read",
    "max_failed": "rows that failed",
    "min_rows": "records read",
}


def counts_before_publishing(graph: Graph, tallies: Iterable[Tally], *, records: int) -> Counts:
    """The counts of a run whose sinks take every row that is bound for them: the fate of its last edge."""
    diverts = {(edge.source, edge.label, edge.target) for edge in graph.edges if edge.mode is EdgeMode.DIVERT}
    ends = []
    for tally in tallies:
        if tally.measure is Measure.OUT and tally.target in graph.sinks:
            aside = (tally.node, tally.label, tally.target) in diverts
            outcome = Outcome.QUARANTINED if aside else Outcome.COMPLETED
            ends.append(Tally(tally.node, Measure.ENDED, outcome.value, tally.target, tally.count))
        elif tally.measure is Measure.ENDED:
            ends.append(tally)
    return counts_of_run(ends, records=records)
