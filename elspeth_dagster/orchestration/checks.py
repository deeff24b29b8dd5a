"""Asset checks: the balance of a run, and what its settings ask for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from elspeth_dagster.engine.checks import Acceptance, CheckResult, Verdict
from elspeth_dagster.engine.finish import released_with
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.orchestration.attempt import ancestors
from elspeth_dagster.orchestration.names import (
    ACCEPT_CHECKS_TAG,
    ACCEPTED_BY_TAG,
    ACCEPTING_TAGS,
    graph_name,
    safe_name,
)
from elspeth_dagster.orchestration.partitions import key_of_run
from elspeth_dagster.plugins.compile import Compiled
from elspeth_dagster.settings import Severity

BALANCE = "balance"

_BALANCE = "Every token that came into a node left it or ended there, and every token ended once."
_ABOUT = {
    "max_quarantined_fraction": "Rows set aside, as a fraction of the records read, are at most {limit:g}.",
    "max_failed": "At most {limit:,} rows were neither delivered nor set aside.",
    "min_rows": "At least {limit:,} records were read.",
}
_FIGURES = {
    "max_quarantined_fraction": "elspeth/quarantined_fraction",
    "max_failed": "elspeth/failed",
    "min_rows": "elspeth/rows_in",
}
_SEVERITIES = {"error": dg.AssetCheckSeverity.ERROR, "warn": dg.AssetCheckSeverity.WARN}


class CheckSpec(dg.AssetCheckSpec):
    """A check on an asset whose key may hold any characters: Dagster makes an output's name of it."""

    def get_python_identifier(self) -> str:
        """The name of the op output that carries the check."""
        return f"check_{safe_name(super().get_python_identifier())}"


def balance(asset: dg.AssetKey) -> CheckSpec:
    """The check that every run has."""
    return CheckSpec(BALANCE, asset=asset, description=_BALANCE)


def agreed(compiled: Compiled, asset: dg.AssetKey) -> tuple[CheckSpec, ...]:
    """The checks that a pipeline's settings ask for."""
    return tuple(
        CheckSpec(
            name,
            asset=asset,
            blocking=limit.blocks,
            description=_described(name, limit.limit, limit.severity, limit.blocks),
        )
        for name, limit in compiled.settings.dagster.checks.limits()
    )


def _described(name: str, limit: float, severity: Severity, blocks: bool) -> str:
    consequence = (
        "Otherwise nothing is published." if blocks else f"Otherwise: {severity.value}; the run goes on."
    )
    return f"{_ABOUT[name].format(limit=limit)} {consequence}"


def acceptance(
    run: dg.DagsterRun, parents: Sequence[dg.DagsterRun], numbers: Mapping[str, int]
) -> tuple[Acceptance, int] | None:
    """Who releases a run from its checks, and why, by the tags of a Dagster run.

    Dagster copies tags into the runs that re-execute another. What counts is where they came from: they
    release the run that they were given for, from what had held it back by then, and no other.

    Args:
        run: The Dagster run at work.
        parents: The Dagster runs that it re-executes, nearest first.
        numbers: The attempts on the landscape run, by their Dagster run.

    Returns:
        The acceptance, and the number of the attempt that it was given for.
    """
    reason = run.tags.get(ACCEPT_CHECKS_TAG, "").strip()
    if not reason:
        return None
    origin = run
    for parent in parents:
        if any(parent.tags.get(tag) != run.tags.get(tag) for tag in ACCEPTING_TAGS):
            break
        origin = parent
    if origin.run_id not in numbers:
        return None
    by = run.tags.get(ACCEPTED_BY_TAG) or run.tags.get("user") or f"not named, in Dagster run {origin.run_id}"
    return Acceptance(by, reason), numbers[origin.run_id]


def given(context: dg.OpExecutionContext, work: Work) -> tuple[Acceptance, int] | tuple[()]:
    """The acceptance of a run that an op works on, with the attempt that it was given for; empty for none."""
    numbers = {
        attempt.dagster_run_id: attempt.number for attempt in reads.attempts(work.landscape, work.run_id)
    }
    return acceptance(context.run, ancestors(context.instance, context.run), numbers) or ()


def results(verdict: Verdict, asset: dg.AssetKey, run_id: str) -> Iterator[dg.AssetCheckResult]:
    """What the checks say of a run, for an op to yield."""
    for result in verdict.results:
        yield dg.AssetCheckResult(
            check_name=result.check, asset_key=asset, passed=result.passed,
            severity=_severity(result), metadata=_facts(result, run_id), description=_said(result),
        )  # fmt: skip


def news(
    context: dg.OpExecutionContext, work: Work, final: Verdict, asset: dg.AssetKey
) -> tuple[dg.AssetCheckResult, ...]:
    """What the checks say of a run that is complete, where its Dagster run has not said the same before.

    Dagster takes what is evaluated last for the state of a check, whatever run it is of.
    """
    steps = context.run.step_keys_to_execute
    said = released_with(work) if steps is None or f"{graph_name(work.pipeline)}.check_run" in steps else {}
    changed = tuple(result for result in final.results if said.get(result.check) != result)
    return tuple(results(replace(final, results=changed), asset, work.run_id))


def balanced(asset: dg.AssetKey, metadata: dict[str, Any], *, published: bool) -> dg.AssetCheckResult:
    """That the accounts of a run balance: those before its sinks, and when all is published, all of them."""
    whole = "in + created = out + ended at every node; created = ended for the run"
    said = whole if published else "in + created = out + ended at every node before the sinks; not published"
    return dg.AssetCheckResult(
        check_name=BALANCE, asset_key=asset, passed=True, metadata=metadata, description=said
    )


def log(context: dg.OpExecutionContext, result: dg.AssetCheckResult) -> None:
    """Reports a check that another op yields too, or that this one has no output for."""
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey.from_coercible(result.asset_key or ()), check_name=str(result.check_name),
        passed=result.passed, severity=result.severity, metadata=result.metadata,
        description=result.description,
        partition=key_of_run(context),
    )  # fmt: skip
    context.log_event(evaluation)  # type: ignore[arg-type] # it takes them; a test holds it to that


def _severity(result: CheckResult) -> dg.AssetCheckSeverity:
    """How bad it is: no more than a warning where somebody has taken it on themselves."""
    return _SEVERITIES["warn" if result.accepted else result.severity]


def _said(result: CheckResult) -> str:
    if result.accepted is None:
        return str(result)
    return f"{result}. Accepted by {result.accepted.by}: {result.accepted.reason}"


def _facts(result: CheckResult, run_id: str) -> dict[str, Any]:
    facts = {
        _FIGURES[result.check]: result.figure,
        "elspeth/limit": result.limit,
        "elspeth/blocking": result.blocking,
        "elspeth/run_id": run_id,
    }
    if result.accepted:
        facts |= {"elspeth/accepted_by": result.accepted.by, "elspeth/reason": result.accepted.reason}
    return facts
