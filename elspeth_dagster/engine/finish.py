"""The gates of a run: what must hold before anything is published, and before the run is complete."""

from typing import Any

from elspeth_dagster.accounting import BalanceError, Counts, counts_of_run, imbalances, run_imbalances
from elspeth_dagster.engine.completeness import require_processed, source_marker
from elspeth_dagster.engine.errors import IncompleteError
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import complete_run
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.leftovers import delete_parts
from elspeth_dagster.landscape.model import Phase

CHECKED = "checked"


def check_run(work: Work) -> Counts:
    """Makes sure that every chunk is processed and every node before the sinks balances.

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
    key = CommitKey(Phase.PROCESS, "check", 0)
    commit(work.landscape, work.attempt, CommitDraft(key, markers={CHECKED: {"rows": marker["rows"]}}))
    return counts_of_run(tallies, records=marker["rows"])


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
    draft = CommitDraft(CommitKey(Phase.DONE, "run", 0), extra_content=_stored(counts))
    complete_run(work.landscape, work.attempt, draft, counts=_stored(counts))
    delete_parts(work.landscape, work.run_id)
    return counts


def _stored(counts: Counts) -> dict[str, Any]:
    return {"rows_in": counts.rows_in, "outcomes": dict(counts.outcomes)}
