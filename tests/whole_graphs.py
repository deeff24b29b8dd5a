"""Pipelines of every node kind over a few JSON rows, and what the record says of them by SQL."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platforms import Platform

REFUSE = '''
from elspeth_dagster.plugins import PluginContext, RowError, RowTransform


class Refuse(RowTransform):
    """Refuses the rows that list its node under `lost`; marks the others with the node's name."""

    def open(self, context: PluginContext) -> None:
        self.node = context.node

    def process(self, row):
        if self.node in row.get("lost", []):
            return RowError("refused", {"by": self.node})
        return {**row, self.node: row["id"]}
'''


def graph(
    platform: Platform,
    rows: Sequence[dict[str, Any]],
    *,
    sinks: str = "out lost",
    chunk: int = 0,
    fields: Sequence[str] = (),
    **rest: Any,
) -> Path:
    """Writes a pipeline over JSON rows, which leave the source as `rows`, with JSONL sinks of these names.

    Args:
        platform: Where.
        rows: What the source reads.
        sinks: Their names; rows that cannot be read are discarded.
        chunk: The chunk size; 0 for all rows at once.
        fields: Declared fields of the source, which takes others as well.
        rest: Further sections of the settings file.
    """
    platform.plugin("refuse", REFUSE)
    platform.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    schema = {"mode": "flexible", "fields": [*fields]} if fields else {"mode": "observed"}
    source = {"plugin": "json", "on_success": "rows",
              "options": {"path": "rows.jsonl", "on_validation_failure": "discard",
                          "schema": schema}}  # fmt: skip
    outputs = {
        name: {"plugin": "json", "options": {"path": f"output/{name}.jsonl"}} for name in sinks.split()
    }
    checkpoint = {"checkpoint": {"frequency": "every_n", "checkpoint_interval": chunk}} if chunk else {}
    return platform.pipeline("whole", {"source": source, "sinks": outputs} | checkpoint | rest)


def refuse(name: str, takes: str, to: str, on_error: str = "lost") -> dict[str, Any]:
    """A transform that refuses the rows that list its name under `lost`."""
    return {"name": name, "plugin": "refuse", "input": takes, "on_success": to, "on_error": on_error}


def fork(name: str, takes: str, *branches: str, condition: str = "True", false: str = "") -> dict[str, Any]:
    """A gate that forks the rows that meet its condition."""
    routes = {"true": "fork"} | ({"false": false} if false else {})
    return {"name": name, "input": takes, "condition": condition, "routes": routes, "fork_to": [*branches]}


def batching(name: str, takes: str, to: str, plugin: str, **rest: Any) -> dict[str, Any]:
    """An aggregation, of two rows a batch unless another trigger is given."""
    return {"name": name, "plugin": plugin, "input": takes, "on_success": to, "on_error": "lost",
            "trigger": {"count": 2}} | rest  # fmt: skip


def stats(name: str, takes: str, to: str, field: str = "id", **rest: Any) -> dict[str, Any]:
    """An aggregation with `batch_stats`."""
    return batching(name, takes, to, "batch_stats", options={"value_field": field}, **rest)


def numbered(count: int, **lost: Sequence[int]) -> list[dict[str, Any]]:
    """Rows with ids from 0; per node the ids that it shall refuse."""
    return [
        {"id": at, "lost": [node for node, ids in lost.items() if at in ids]} if lost else {"id": at}
        for at in range(count)
    ]


def balanced(platform: Platform, facts: dict[str, Any]) -> dict[str, Any]:
    """Checks by SQL that a completed run's accounts balance, and gives its facts.

    Of each node, what came in and was created has gone out or ended; what was sent to it came in. Of the run,
    every token ended once, each with an outcome; and the reported counts are those of the record.
    """
    run = f"run_id = '{facts['run_id']}'"
    accounts = platform.sql(
        f"""WITH t AS (FROM tallies WHERE {run}), o AS (FROM outcomes WHERE {run} AND outcome IS NOT NULL)
            SELECT 'node ' || node AS what,
                   sum(CASE WHEN measure IN ('in', 'created') THEN count ELSE 0 END)::BIGINT AS had,
                   sum(CASE WHEN measure IN ('out', 'ended') THEN count ELSE 0 END)::BIGINT AS gave
            FROM t GROUP BY node
            UNION ALL
            SELECT 'way to ' || name, sum(sent)::BIGINT, sum(came)::BIGINT FROM (
                SELECT target AS name, count AS sent, 0 AS came FROM t WHERE measure = 'out'
                UNION ALL SELECT node, 0, count FROM t WHERE measure = 'in') GROUP BY name
            UNION ALL
            SELECT 'run', (SELECT sum(count)::BIGINT FROM t WHERE measure = 'created'),
                   (SELECT sum(count)::BIGINT FROM t WHERE measure = 'ended')
            UNION ALL
            SELECT 'tokens', (SELECT count(*) FROM tokens WHERE {run}), (SELECT count(DISTINCT token) FROM o)
            UNION ALL
            SELECT 'outcomes', (SELECT count(*) FROM o),
                   (SELECT sum(count)::BIGINT FROM t WHERE measure = 'ended')
            UNION ALL
            SELECT 'ended once', (SELECT count(*) FROM o), (SELECT count(DISTINCT token) FROM o)
        """
    )
    assert {"node source", "run", "tokens", "outcomes"} <= {account["what"] for account in accounts}
    assert [account for account in accounts if account["had"] != account["gave"]] == []
    assert platform.outcomes(facts["run_id"]) == facts["outcomes"]
    return facts


def completed(platform: Platform, settings: Path, **how: bool) -> dict[str, int]:
    """The outcomes of a run that has to complete and to balance."""
    outcomes: dict[str, int] = balanced(platform, platform.completed(settings, **how))["outcomes"]
    return outcomes


def lines(platform: Platform, name: str) -> list[Any]:
    """What a JSONL sink holds."""
    return [json.loads(line) for line in platform.read(f"output/{name}.jsonl").splitlines()]


def ids(platform: Platform, name: str) -> list[Any]:
    """The ids of what a JSONL sink holds."""
    return [row["id"] for row in lines(platform, name)]


def ends(platform: Platform) -> list[tuple[str, str, str | None]]:
    """Token, outcome and node of every ended token, in token order."""
    rows = platform.sql("SELECT token_text(token) AS name, outcome, node FROM outcomes ORDER BY token")
    return [(row["name"], row["outcome"], row["node"]) for row in rows]


def reasons(platform: Platform) -> list[tuple[str, str, Any]]:
    """Token, node and reason of every error, in token order."""
    rows = platform.sql("SELECT token_text(token) AS name, node, reason FROM errors ORDER BY token, node")
    return [(row["name"], row["node"], json.loads(row["reason"])) for row in rows]


def formed(platform: Platform) -> list[tuple[Any, ...]]:
    """Aggregation, number, members and trigger of every batch."""
    rows = platform.sql(
        "SELECT aggregation, batch, members, trigger FROM batches ORDER BY aggregation, batch"
    )
    return [tuple(row.values()) for row in rows]
