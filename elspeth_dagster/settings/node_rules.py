"""What must agree within one node, and the names of all nodes among each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from elspeth_dagster.settings.entries import AggregationEntry, CoalesceEntry, GateEntry
from elspeth_dagster.settings.findings import Findings
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import FORK
from elspeth_dagster.settings.nodes import CoalescePolicy, MergeStrategy, OutputMode
from elspeth_dagster.settings.sections import NODE_LISTS

Found = Iterator[tuple[KeyPath, str]]


def check_gate(gate: GateEntry, path: KeyPath) -> Found:
    """`fork_to` goes with a route to `fork`, and only with one."""
    forks = [label for label, destination in gate.routes.items() if destination == FORK]
    if forks and not gate.fork_to:
        yield (*path, "routes", forks[0]), "leads to 'fork', but 'fork_to' does not say to which branches"
    if gate.fork_to and not forks:
        yield (*path, "fork_to"), "is given, but no route leads to 'fork'"


def check_aggregation(aggregation: AggregationEntry, path: KeyPath) -> Found:
    """A trigger has at least one condition; a count of output rows is for the mode that makes them."""
    trigger = aggregation.trigger
    if trigger.count is None and trigger.timeout_seconds is None and trigger.condition is None:
        yield (*path, "trigger"), "needs at least one of: count, timeout_seconds, condition"
    if aggregation.expected_output_count is not None and aggregation.output_mode is OutputMode.PASSTHROUGH:
        yield (*path, "expected_output_count"), "goes with 'output_mode: transform' only"


def check_coalesce(coalesce: CoalesceEntry, path: KeyPath) -> Found:
    """Policy and merge strategy have what they need."""
    branches = ", ".join(coalesce.branches)
    if coalesce.policy is CoalescePolicy.BEST_EFFORT and coalesce.timeout_seconds is None:
        yield (*path, "policy"), "'best_effort' needs 'timeout_seconds'"
    if coalesce.policy is CoalescePolicy.QUORUM and coalesce.quorum_count is None:
        yield (*path, "policy"), "'quorum' needs 'quorum_count'"
    if coalesce.quorum_count is not None and coalesce.quorum_count > len(coalesce.branches):
        count = len(coalesce.branches)
        found = f"is {coalesce.quorum_count}, but there are only {count} branches"
        yield (*path, "quorum_count"), f"{found}; write a number from 1 to {count}"
    if coalesce.merge is MergeStrategy.SELECT and coalesce.select_branch is None:
        yield (*path, "merge"), f"'select' needs 'select_branch', one of: {branches}"
    if coalesce.select_branch is not None and coalesce.select_branch not in coalesce.branches:
        yield (*path, "select_branch"), f"'{coalesce.select_branch}' is none of the branches: {branches}"


def idle_in_coalesce(coalesce: CoalesceEntry, path: KeyPath) -> Found:
    """What another policy or merge strategy would need."""
    if coalesce.quorum_count is not None and coalesce.policy is not CoalescePolicy.QUORUM:
        yield (*path, "quorum_count"), "has an effect only with 'policy: quorum'"
    if coalesce.timeout_seconds is not None and coalesce.policy is CoalescePolicy.FIRST:
        yield (*path, "timeout_seconds"), "has no effect with 'policy: first', which never waits"
    if coalesce.select_branch is not None and coalesce.merge is not MergeStrategy.SELECT:
        yield (*path, "select_branch"), "has an effect only with 'merge: select'"


def check_unique_names(data: Mapping[str, Any], findings: Findings) -> None:
    """No two nodes of any kind have the same name.

    Sinks among themselves, and aggregations, may not differ by `-` and `_` alone either: Dagster knows them
    by names in which both are `_`.
    """
    first: dict[str, KeyPath] = {}
    alike: dict[tuple[str, str], str] = {}
    for section, name, path in _names(data):
        if name in first:
            line = findings.locations.mark(first[name]).line
            findings.error(
                path, f"the name '{name}' is taken, in line {line}; every node and sink has its own"
            )
            continue
        first[name] = path
        other = alike.setdefault((section, name.replace("-", "_")), name)
        if other != name and section in {"sinks", "aggregations"}:
            message = f"the names '{name}' and '{other}' are one to Dagster, which takes '-' for '_'"
            findings.error(path, message)


def _names(data: Mapping[str, Any]) -> Iterator[tuple[str, str, KeyPath]]:
    for section in NODE_LISTS:
        entries = data.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str) and name.strip():
                yield section, name.strip(), (section, index, "name")
    sinks = data.get("sinks")
    for name in sinks if isinstance(sinks, dict) else {}:
        yield "sinks", name, ("sinks", name)
