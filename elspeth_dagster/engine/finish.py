"""The gates of a run: what must hold before anything is published, and before the run is complete."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from elspeth_dagster.accounting import (
    BalanceError,
    Counts,
    Tally,
    counts_of_run,
    imbalances,
    run_imbalances,
)
from elspeth_dagster.engine.checks import Acceptance, CheckResult, Verdict, counts_before_publishing, evaluate
from elspeth_dagster.engine.completeness import require_processed, source_marker
from elspeth_dagster.engine.errors import ChecksFailedError, IncompleteError
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import complete_run
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.leftovers import delete_parts
from elspeth_dagster.landscape.model import Phase, held_back_marker

CHECKED = "checked"
"""The marker without which nothing is published."""
FINAL_CHECKS = "final_checks"
"""The marker with what the checks say once everything has ended."""


def check_run(work: Work, acceptance: Acceptance | None = None, given_in: int | None = None) -> Verdict:
    """Makes sure that every chunk is processed and every node before the sinks balances, then judges.

    The checks are evaluated again in each attempt, since their limits may be changed, until one lets the run
    pass; from then on that verdict stands. Whether it does is for `require_released` to say.

    Args:
        work: The run.
        acceptance: Releases a run from the checks that held it back in an earlier attempt, not from others.
        given_in: The attempt that it was given for: what held back a later one is not accepted.

    Raises:
        IncompleteError: Chunks are missing.
        BalanceError: Tokens are missing or counted twice.
    """
    marker = source_marker(work)
    for stage in work.compiled.graph.stages:
        require_processed(work, stage)
    tallies = reads.tallies(work.landscape, work.run_id)
    sinks = frozenset(work.compiled.graph.sinks)
    problems = imbalances(tallies, sinks=sinks, published=False)
    if not problems:
        problems = tuple(
            problem for problem in run_imbalances(tallies, records=marker["rows"]) if problem.node != "run"
        )
    if problems:
        raise BalanceError(work.pipeline, work.run_id, problems)
    released = reads.marker(work.landscape, work.run_id, CHECKED)
    if released is not None:
        return Verdict.of_facts(released)
    accepted = held_back_before(work.landscape, work.run_id, given_in) if acceptance else set()
    return _judge(work, tallies, marker["rows"], acceptance, accepted)


def _judge(
    work: Work, tallies: Sequence[Tally], records: int, acceptance: Acceptance | None, accepted: set[str]
) -> Verdict:
    """Evaluates the checks and records what they say: as the run's release, or as this attempt's refusal."""
    bound = counts_before_publishing(work.compiled.graph, tallies, records=records)
    verdict = Verdict(records, evaluate(work.compiled.settings.dagster.checks, bound))
    held = verdict.held_back_by
    if acceptance and {result.check for result in held} <= accepted:
        results = tuple(
            replace(result, accepted=acceptance) if result in held else result for result in verdict.results
        )
        verdict = replace(verdict, results=results)
    number, name = (
        (work.attempt.number, held_back_marker(work.attempt.number)) if verdict.held_back_by else (0, CHECKED)
    )
    key = CommitKey(Phase.PROCESS, "check", number)
    commit(work.landscape, work.attempt, CommitDraft(key, markers={name: verdict.facts()}))
    return verdict


def counts_so_far(work: Work) -> Counts:
    """The counts of a run before it is published, had its sinks taken every row that is bound for them."""
    tallies = reads.tallies(work.landscape, work.run_id)
    return counts_before_publishing(work.compiled.graph, tallies, records=source_marker(work)["rows"])


def held_back_before(landscape: Landscape, run_id: str, attempt: int | None = None) -> set[str]:
    """The names of the checks that held a run back in the latest attempt so far, or the latest before one."""
    numbers = reads.committed(landscape, run_id, Phase.PROCESS, "check") - {0}
    numbers = {number for number in numbers if attempt is None or number < attempt}
    facts = reads.marker(landscape, run_id, held_back_marker(max(numbers))) if numbers else None
    return {result.check for result in Verdict.of_facts(facts).held_back_by} if facts else set()


def require_released(work: Work, verdict: Verdict) -> None:
    """Stops a run that a check holds back.

    Raises:
        ChecksFailedError: Nothing may be published.
    """
    if verdict.held_back_by:
        said = [f"{result.check}: {result}" for result in verdict.held_back_by]
        path = Path(work.launch.settings_path)
        shown = path.relative_to(work.root) if path.is_relative_to(work.root) else path
        raise ChecksFailedError(work.pipeline, work.run_id, str(shown), said)


def require_checked(work: Work) -> None:
    """Refuses to publish for a run whose accounts were not checked.

    Raises:
        IncompleteError: `check_run` has not passed.
    """
    if reads.marker(work.landscape, work.run_id, CHECKED) is None:
        raise IncompleteError(work.pipeline, work.run_id, "its accounts have not been checked")


def seal_run(work: Work) -> Counts:
    """Checks the whole balance and completes the run, once; a completed run is only reported.

    Raises:
        IncompleteError: A sink is not published.
        BalanceError: Tokens are missing or counted twice.
    """
    marker = source_marker(work)
    published = {artifact.sink for artifact in reads.artifacts(work.landscape, work.run_id)}
    missing = [name for name in work.compiled.graph.sinks if name not in published]
    if missing:
        raise IncompleteError(work.pipeline, work.run_id, f"sinks are not published: {', '.join(missing)}")
    tallies = reads.tallies(work.landscape, work.run_id)
    sinks = frozenset(work.compiled.graph.sinks)
    problems = imbalances(tallies, sinks=sinks, published=True) + run_imbalances(
        tallies, records=marker["rows"]
    )
    if problems:
        raise BalanceError(work.pipeline, work.run_id, problems)
    counts = counts_of_run(tallies, records=marker["rows"])
    released = released_with(work)
    results = tuple(
        result.accepted_as(released.get(result.check))
        for result in evaluate(work.compiled.settings.dagster.checks, counts)
    )
    markers = {FINAL_CHECKS: Verdict(counts.rows_in, results).facts()} if results else {}
    draft = CommitDraft(CommitKey(Phase.DONE, "run", 0), markers=markers, extra_content=_stored(counts))
    complete_run(work.landscape, work.attempt, draft, counts=_stored(counts))
    delete_parts(work.landscape, work.run_id)
    return counts


def released_with(work: Work) -> dict[str, CheckResult]:
    """What the checks said when a run was let pass, by their names."""
    facts = reads.marker(work.landscape, work.run_id, CHECKED)
    return {result.check: result for result in Verdict.of_facts(facts).results} if facts else {}


def final_verdict(landscape: Landscape, run_id: str) -> Verdict | None:
    """What the checks say of a completed run, over all that ended; None when none was asked for."""
    facts = reads.marker(landscape, run_id, FINAL_CHECKS)
    return Verdict.of_facts(facts) if facts else None


def latest_verdict(landscape: Landscape, run_id: str) -> Verdict | None:
    """The latest that the checks said of a run; None before they were evaluated."""
    numbers = reads.committed(landscape, run_id, Phase.PROCESS, "check")
    held = [held_back_marker(number) for number in sorted(numbers - {0}, reverse=True)]
    for name in (FINAL_CHECKS, CHECKED, *held):
        facts = reads.marker(landscape, run_id, name)
        if facts is not None:
            return Verdict.of_facts(facts)
    return None


def _stored(counts: Counts) -> dict[str, Any]:
    return {"rows_in": counts.rows_in, "outcomes": dict(counts.outcomes)}
