"""A pipeline with a plugin that breaks, hangs or works, and what a user sees of it."""

import hashlib
import json
from typing import Any

from platforms import Platform

HEADER = """
import os
import time
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins import RowError, RowTransform
"""

RAISES = (
    HEADER
    + '''
class Brittle(RowTransform):
    """Breaks at one row."""

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        if row["id"] == 23:
            raise KeyError("no tariff for 23")
        row["twice"] = row["value"] * 2
        return RowError("unlucky") if row["id"] % 13 == 0 else row
'''
)

MENDED = (
    HEADER
    + '''
class Brittle(RowTransform):
    """Works."""

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        row["twice"] = row["value"] * 2
        return RowError("unlucky") if row["id"] % 13 == 0 else row
'''
)

HANGS = (
    HEADER
    + '''
class Brittle(RowTransform):
    """Waits at one row until the file `go` is there, and says so in the file `reached`."""

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        root = Path(os.environ["ELSPETH_ROOT"])
        while row["id"] == 23 and not (root / "go").exists():
            (root / "reached").touch()
            time.sleep(0.02)
        row["twice"] = row["value"] * 2
        return RowError("unlucky") if row["id"] % 13 == 0 else row
'''
)

DIES = (
    HEADER
    + '''
class Brittle(RowTransform):
    """Ends its process at one row, the first time, as a kernel does that is out of memory."""

    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        died = Path(os.environ["ELSPETH_ROOT"]) / "died"
        if row["id"] == 23 and not died.exists():
            died.touch()
            os.kill(os.getpid(), 9)
        row["twice"] = row["value"] * 2
        return RowError("unlucky") if row["id"] % 13 == 0 else row
'''
)

ROWS = 40


def settings_of(folder: str, *, chunk: int = 5, shards: int = 1) -> dict[str, Any]:
    """A pipeline that writes four files of three kinds below a folder."""
    return {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "numbers.csv", "on_validation_failure": "odd_ones",
                               "schema": {"mode": "fixed", "fields": ["id: int", "value: float"]}}},
        "transforms": [{"name": "tariff", "plugin": "brittle", "input": "read", "on_success": "priced",
                        "on_error": "odd_ones"}],
        "gates": [{"name": "size", "input": "priced", "condition": "row['twice'] > 30",
                   "routes": {"true": "large", "false": "small"}}],
        "sinks": {
            "large": {"plugin": "csv", "options": {"path": f"{folder}/large.csv"}},
            "small": {"plugin": "json", "options": {"path": f"{folder}/small.jsonl"}},
            "odd_ones": {"plugin": "json", "options": {"path": f"{folder}/odd_ones.json"}},
        },
        "checkpoint": {"frequency": "every_n", "checkpoint_interval": chunk},
        "dagster": {"shards": shards},
    }  # fmt: skip


def write_numbers(platform: Platform) -> None:
    cells = [f"{number},{value}" for number, value in NUMBERS]
    platform.write("numbers.csv", "id,value\n" + "\n".join(cells) + "\n")


NUMBERS = [(number, "?" if number % 17 == 3 else number * 0.7) for number in range(ROWS)]


def expected_outputs() -> dict[str, bytes]:
    """The files, made from the numbers by Python alone."""
    large, small, odd_ones = ["id,value,twice"], [], []
    for number, value in NUMBERS:
        if isinstance(value, str):
            odd_ones.append({"id": str(number), "value": value})
        elif number % 13 == 0:
            odd_ones.append({"id": number, "value": value})
        elif value * 2 > 30:
            large.append(f"{number},{value!r},{value * 2!r}")
        else:
            small.append(json.dumps({"id": number, "value": value, "twice": value * 2}) + "\n")
    return {
        "large.csv": "".join(line + "\r\n" for line in large).encode(),
        "odd_ones.json": json.dumps(odd_ones).encode(),
        "small.jsonl": "".join(small).encode(),
    }


def expected_counts() -> dict[str, Any]:
    """What `counts` has to give of a completed run."""
    files = expected_outputs()
    rows = {
        "large": files["large.csv"].count(b"\n") - 1,
        "small": files["small.jsonl"].count(b"\n"),
        "odd_ones": len(json.loads(files["odd_ones.json"])),
    }
    sinks = {
        name.partition(".")[0]: {
            "rows": rows[name.partition(".")[0]],
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        }
        for name, content in files.items()
    }
    routed = rows["large"] + rows["small"]
    return {
        "status": "completed", "rows_in": ROWS, "succeeded": routed, "failed": 0,
        "quarantined": rows["odd_ones"], "outcomes": {"routed": routed, "quarantined": rows["odd_ones"]},
        "sinks": sinks,
    }  # fmt: skip


def counts(facts: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for two runs of the same work."""
    kept = {
        name: facts[name] for name in ("status", "rows_in", "succeeded", "failed", "quarantined", "outcomes")
    }
    sinks = {
        name: {k: sink[k] for k in ("rows", "sha256", "size_bytes")} for name, sink in facts["sinks"].items()
    }
    return kept | {"sinks": sinks}


def dagster_run_ids(platform: Platform, run_id: str) -> list[str]:
    """The Dagster runs of a run's attempts, first to last."""
    query = f"SELECT dagster_run_id FROM attempts WHERE run_id = '{run_id}' ORDER BY number"
    return [row["dagster_run_id"] for row in platform.sql(query)]


def record(platform: Platform, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """A run's record by row, in token order: what must not depend on how often it was begun."""
    queries = {
        "outcomes": "SELECT token, outcome, sink, node FROM outcomes",
        "states": 'SELECT token, node, status, input_hash, output_hash, label, "to", mode, reads FROM states',
        "errors": "SELECT token, node, kind, reason FROM errors",
    }
    return {
        name: platform.sql(f"{query} WHERE run_id = '{run_id}' ORDER BY ALL")
        for name, query in queries.items()
    }
