"""What the crash tests do to which runs: the pipelines, and the cases that are drawn from seeds."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from databases import SERVER

SIGNALS = ("SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT")
DEV_FROM_SEED = 1000
"""Cases before this one, which the test suite draws from, start no `dagster dev`: that takes long."""

JOINS: dict[str, Any] = {
    "source": {"plugin": "csv", "on_success": "read",
               "options": {"path": "rows.csv", "on_validation_failure": "odd",
                           "schema": {"mode": "fixed", "fields": ["id: int", "name: str", "value: float?"]}}},
    "gates": [
        {"name": "part", "input": "read", "condition": "row['id'] % 5 > 0",
         "routes": {"true": "fork", "false": "plain"}, "fork_to": ["one", "two", "copies"]},
    ],
    "transforms": [
        {"name": "rename", "plugin": "field_mapper", "input": "one", "on_success": "one_done",
         "on_error": "odd", "options": {"mapping": {"value": "amount"}}},
        {"name": "shorten", "plugin": "truncate", "input": "two", "on_success": "two_done", "on_error": "odd",
         "options": {"fields": {"name": 3}}},
    ],
    "coalesce": [{"name": "join", "branches": {"one": "one_done", "two": "two_done"}, "merge": "union"}],
    "aggregations": [
        {"name": "stats", "plugin": "batch_stats", "input": "join", "on_success": "stats_out",
         "on_error": "odd", "trigger": {"count": 4}, "options": {"value_field": "id"}},
    ],
    "sinks": {
        "plain": {"plugin": "csv", "options": {"path": "output/plain.csv"}},
        "copies": {"plugin": "parquet", "options": {"path": "output/copies.parquet"}},
        "stats_out": {"plugin": "json", "options": {"path": "output/stats.json"}},
        "odd": {"plugin": "json", "options": {"path": "output/odd.jsonl"}},
    },
}  # fmt: skip

APPENDS: dict[str, Any] = {
    "source": {"plugin": "csv", "on_success": "read",
               "options": {"path": "rows.csv", "on_validation_failure": "odd",
                           "schema": {"mode": "fixed", "fields": ["id: int", "name: str", "value: str?"]}}},
    "gates": [{"name": "size", "input": "read", "condition": "len(row['name']) > 5",
               "routes": {"true": "table", "false": "log"}}],
    "sinks": {
        "log": {"plugin": "csv", "on_write_failure": "refused",
                "options": {"path": "output/log.csv", "mode": "append"}},
        "table": {"plugin": "database", "on_write_failure": "refused",
                  "options": {"url": "sqlite:///output/table.db", "table": "rows", "if_exists": "append",
                              "schema": {"mode": "fixed",
                                         "fields": ["id: int", "name: str", "value: str?"]}}},
        "refused": {"plugin": "json", "options": {"path": "output/refused.jsonl"}},
        "odd": {"plugin": "json", "options": {"path": "output/odd.jsonl"}},
    },
}  # fmt: skip

PIPELINES: Mapping[str, dict[str, Any]] = {"joins": JOINS, "appends": APPENDS}
ROWS = 40


@dataclass(frozen=True)
class Case:
    """What is done to one run.

    Attributes:
        pipeline: Which pipeline.
        shards: Among how many processes chunks are shared out.
        way: How it is started: `elspeth`, `dagster` for `dagster job execute`, or `dev` for a launch through
            a running `dagster dev`.
        kills: Per start the share of all effects at which it is killed, the signal, and who gets it.
        forget: Whether Dagster forgets everything before the run is continued.
        catalogue: The kind of database that the catalogue is kept in.
        table: The kind of database that the database sink writes to.
        orphans: What becomes of processes that outlive a parent that is killed: `killed` before the run is
            continued, `alive` while that is tried, or `asleep` until it is over.
    """

    pipeline: str
    shards: int
    way: str
    kills: tuple[tuple[float, str, str], ...]
    forget: bool = False
    catalogue: str = "sqlite"
    table: str = "sqlite"
    orphans: str = "killed"


def drawn(seed: int) -> Case:
    """A case, the same for the same seed, save that nothing is on PostgreSQL where there is no server."""
    chance = random.Random(seed)
    kills = tuple(
        # Later instants are of publishing and completing, where most can go wrong.
        (max(chance.random(), chance.random()) if chance.random() < 0.5 else chance.random(),
         chance.choice(SIGNALS), chance.choice(("group", "process")))
        for _ in range(chance.choice((1, 1, 2, 3)))
    )  # fmt: skip
    case = Case(
        pipeline=chance.choice(sorted(PIPELINES)),
        shards=2 if chance.random() < 0.2 else 1,
        way=chance.choice(("elspeth", "elspeth", "dagster")),
        kills=kills,
        forget=chance.random() < 0.2,
    )
    catalogue, table = (chance.choice(("sqlite", "sqlite", "postgresql")) for _ in range(2))
    if SERVER:
        has_table = "table" in PIPELINES[case.pipeline]["sinks"]
        case = replace(case, catalogue=catalogue, table=table if has_table else "sqlite")
    if case.shards > 1:
        case = replace(case, orphans=chance.choice(("killed", "killed", "alive", "asleep")))
    if case.orphans != "killed":
        # A run that is completed while orphans sleep has no more instants to be killed at.
        ((share, _, _), *rest) = kills
        first = (share, "SIGKILL", "parent")
        case = replace(case, kills=(first, *rest) if case.orphans == "alive" else (first,), forget=False)
    elif seed >= DEV_FROM_SEED and chance.random() < 0.03:
        case = replace(case, way="dev")
    return case
