"""Kills real runs at random instants, continues them, and compares with a run that was left alone.

    python tests/end_to_end/crash.py --kills 1000 --seed 7

A run is started as a process, killed at an instant drawn over all its durable effects (each write, fsync,
rename, removal and commit has one before it and one behind), continued, killed again at random, and at last
left alone. What then stands must be what an undisturbed run leaves: bytes of all files, rows of tables,
outcomes, lineage, tallies, content digests of commits, counts, and no files beside them. A failure prints the
case, which `--case` replays.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from platforms import BIN, DEFINITIONS, HOME_YAML

from elspeth_dagster.cli.summary import of_runs
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.query import query

DYING = Path(__file__).with_name("dying")
DEADLINE_S = 180
SIGNALS = ("SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGINT")

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
                           "schema": {"mode": "observed"}}},
    "gates": [{"name": "size", "input": "read", "condition": "len(row['name']) > 5",
               "routes": {"true": "table", "false": "log"}}],
    "sinks": {
        "log": {"plugin": "csv", "on_write_failure": "refused",
                "options": {"path": "output/log.csv", "mode": "append"}},
        "table": {"plugin": "database", "on_write_failure": "refused",
                  "options": {"url": "sqlite:///output/table.db", "table": "rows", "if_exists": "append",
                              "schema": {"mode": "fixed",
                                         "fields": ["id: int", "name: str", "value: any"]}}},
        "refused": {"plugin": "json", "options": {"path": "output/refused.jsonl"}},
        "odd": {"plugin": "json", "options": {"path": "output/odd.jsonl"}},
    },
}  # fmt: skip

PIPELINES = {"joins": JOINS, "appends": APPENDS}
ROWS = 40


@dataclass(frozen=True)
class Case:
    """What is done to one run.

    Attributes:
        pipeline: Which pipeline.
        shards: Among how many processes chunks are shared out.
        way: How it is started: `elspeth`, or `dagster` for `dagster job execute`.
        kills: Per start the share of all effects at which it is killed, the signal, and who gets it.
        forget: Whether Dagster forgets everything before the run is continued.
    """

    pipeline: str
    shards: int
    way: str
    kills: tuple[tuple[float, str, str], ...]
    forget: bool


def drawn(seed: int) -> Case:
    """A case, the same for the same seed."""
    chance = random.Random(seed)
    kills = tuple(
        # Later instants are of publishing and completing, where most can go wrong.
        (max(chance.random(), chance.random()) if chance.random() < 0.5 else chance.random(),
         chance.choice(SIGNALS), chance.choice(("group", "process")))
        for _ in range(chance.choice((1, 1, 2, 3)))
    )  # fmt: skip
    return Case(
        pipeline=chance.choice(sorted(PIPELINES)),
        shards=2 if chance.random() < 0.2 else 1,
        way=chance.choice(("elspeth", "elspeth", "dagster")),
        kills=kills,
        forget=chance.random() < 0.2,
    )


@dataclass(frozen=True)
class Yard:
    """A platform of its own for one run."""

    root: Path

    @classmethod
    def laid_out(cls, root: Path, pipeline: str, shards: int) -> "Yard":
        """A platform with one pipeline, its input, and what was in its targets before."""
        yard = cls(root)
        (root / "pipelines").mkdir(parents=True)
        (root / "output").mkdir()
        (root / "home").mkdir()
        (root / "home" / "dagster.yaml").write_text(HOME_YAML)
        settings = PIPELINES[pipeline] | {
            "checkpoint": {"frequency": "every_n", "checkpoint_interval": 9},
            "dagster": {"shards": shards},
        }
        (root / "pipelines" / f"{pipeline}.yaml").write_text(json.dumps(settings))
        (root / "definitions.py").write_text(DEFINITIONS)
        lines = [f"{n},{'name' * (n % 3)}{n},{'' if n % 7 == 0 else n / 2}" for n in range(ROWS)]
        lines[11] = "11,odd"
        lines[23] = "x" + lines[23] if pipeline == "joins" else lines[23]
        (root / "rows.csv").write_text("\n".join(["id,name,value", *lines]) + "\n")
        (root / "output" / "log.csv").write_text("id,name,value\r\n-1,before,0\r\n")
        create = "CREATE TABLE rows (id INTEGER CHECK (id <> 26), name TEXT, value TEXT)"
        _rows(root / "output" / "table.db", create)
        return yard

    def start(self, words: list[str], at: int = 0, by: str = "SIGKILL", who: str = "group") -> int:
        """Runs a command to its end, or to its death, and gives its exit code."""
        environ = os.environ | {
            "ELSPETH_ROOT": str(self.root), "ELSPETH_LANDSCAPE": str(self.root / "landscape"),
            "DAGSTER_HOME": str(self.root / "home"), "PYTHONPATH": str(DYING),
            "ELSPETH_DYING": str(self.root / "effects"), "ELSPETH_DYING_AT": str(at),
            "ELSPETH_DYING_BY": by, "ELSPETH_DYING_WHO": who,
        }  # fmt: skip
        (self.root / "effects").write_bytes(b"")
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(
                words, cwd=self.root, env=environ, stdout=log, stderr=log, start_new_session=True
            )
            try:
                return process.wait(timeout=DEADLINE_S)
            finally:
                # Orphans of a parent that was killed alone die here, so that the run can be continued.
                if at:
                    _kill_group(process.pid)

    @property
    def effects(self) -> int:
        """How many durable effects the last command had."""
        return (self.root / "effects").stat().st_size

    @contextmanager
    def landscape(self) -> Iterator[Landscape]:
        """The record, opened here: a command for each question would take most of the time."""
        with Landscape.open(Location.parse(self.root / "landscape"), create=False) as landscape:
            yield landscape


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def starting(case: Case) -> list[str]:
    """The command that begins the run."""
    if case.way == "elspeth":
        return [str(BIN / "elspeth"), "run", f"pipelines/{case.pipeline}.yaml"]
    return [str(BIN / "dagster"), "job", "execute", "-f", "definitions.py", "-j", case.pipeline]


def state_of(yard: Yard) -> dict[str, Any]:
    """Everything that must be the same however often a run was killed."""
    with yard.landscape() as landscape:
        (run,) = of_runs(landscape, limit=10, pipeline=None)
        record = {name: query(landscape, text).to_pylist() for name, text in QUERIES.items()}
    files = {
        str(path.relative_to(yard.root)): path.read_bytes()
        for path in sorted((yard.root / "output").rglob("*"))
        if path.is_file() and path.suffix != ".db"
    }
    database = yard.root / "output" / "table.db"
    tables = {
        name: _rows(database, f'SELECT * FROM "{name}" ORDER BY rowid')
        for (name,) in _rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    counts = {
        name: run[name] for name in ("status", "rows_in", "succeeded", "failed", "quarantined", "outcomes")
    }
    sinks = {name: (sink["rows"], sink["sha256"]) for name, sink in run["sinks"].items()}
    return {
        "counts": counts,
        "sinks": sinks,
        "files": files,
        "tables": tables,
        **_untimed(record),
        **left(yard),
    }


QUERIES: Mapping[str, str] = {
    "outcomes": "SELECT token, outcome, sink, node FROM outcomes ORDER BY ALL",
    "tokens": "SELECT token, parents, created_by, branch, batch FROM tokens ORDER BY ALL",
    "states": """SELECT token, node, status, input_hash, output_hash, label, "to", outcome
                 FROM states ORDER BY ALL""",
    "errors": "SELECT token, node, kind FROM errors ORDER BY ALL",
    "tallies": """SELECT node, measure, label, target, sum(count) AS n
                  FROM tallies GROUP BY ALL ORDER BY ALL""",
    "commits": """SELECT phase, node, ordinal, content_digest
                  FROM commits WHERE node NOT LIKE '%:append' ORDER BY ALL""",
    "ends": "SELECT count(*) AS n FROM commits WHERE phase = 6",
}


def _untimed(found: dict[str, Any]) -> dict[str, Any]:
    """The record without what two runs cannot have in common."""
    # Rows for a failure sink tell when their run began, and a plan when its batches fired: runs differ there.
    timed = ("log", "table", "refused", "plan_stats")
    found["commits"] = [
        row if row["node"] not in timed else {**row, "content_digest": ""} for row in found["commits"]
    ]
    return found


def left(yard: Yard) -> dict[str, Any]:
    """Files that nobody owns, and locks that are still held."""
    with yard.landscape() as landscape:
        named = {row["path"] for row in query(landscape, "SELECT path FROM segments").to_pylist()}
    segments = yard.root / "landscape" / "segments"
    strays = {
        str(path.relative_to(segments))
        for path in segments.rglob("*")
        if path.is_file() and "locks" not in path.parts
    } - named
    locks = _rows(yard.root / "landscape" / "catalogue.db", "SELECT name FROM ops_locks")
    return {"strays": sorted(strays), "locks": locks}


def undisturbed(folder: Path, pipeline: str, shards: int) -> tuple[dict[str, Any], int]:
    """What a run that is left alone leaves, and how many effects it has."""
    yard = Yard.laid_out(folder, pipeline, shards)
    code = yard.start(starting(Case(pipeline, shards, "elspeth", (), forget=False)))
    assert code == 0, (yard.root / "log").read_text()
    return state_of(yard), yard.effects


def differences(case: Case, folder: Path, expected: dict[str, Any], effects: int) -> list[str]:
    """Does to a run what the case says; gives what is not as it should be in the end."""
    yard = Yard.laid_out(folder, case.pipeline, case.shards)
    words = starting(case)
    for share, by, who in case.kills:
        yard.start(words, max(1, round(share * effects)), by, who)
        words = _continuing(yard, words)
        if case.forget:
            shutil.rmtree(yard.root / "home")
            (yard.root / "home").mkdir()
            (yard.root / "home" / "dagster.yaml").write_text(HOME_YAML)
    code = yard.start(words)
    if code != 0:
        return [f"the last start ended with {code}:\n{(yard.root / 'log').read_text()[-3000:]}"]
    found = state_of(yard)
    return [
        f"{name}: {_shown(found[name])}\n    instead of {_shown(value)}"
        for name, value in expected.items()
        if not _same(name, found[name], value)
    ]


def _continuing(yard: Yard, words: list[str]) -> list[str]:
    """The command that goes on: the same again when the run had not begun."""
    catalogue = yard.root / "landscape" / "catalogue.db"
    if not catalogue.exists():
        return words
    known = _rows(catalogue, "SELECT name FROM sqlite_master WHERE name = 'runs'")
    runs = _rows(catalogue, "SELECT run_id FROM runs") if known else []
    return [str(BIN / "elspeth"), "resume", runs[0][0]] if runs else words


def _same(name: str, found: Any, expected: Any) -> bool:
    if name == "files":
        found, expected = _without_times(found), _without_times(expected)
    if name == "sinks":
        found, expected = ({k: v for k, v in each.items() if k != "refused"} for each in (found, expected))
    return bool(found == expected)


def _without_times(files: Mapping[str, bytes]) -> dict[str, Any]:
    """A failure sink's rows tell when their run began, which differs from run to run."""
    kept: dict[str, Any] = dict(files)
    lines = [json.loads(line) for line in kept.pop("output/refused.jsonl", b"").splitlines()]
    kept["refused"] = [{key: row[key] for key in row if key != "__diversion_timestamp"} for row in lines]
    return kept


def _rows(database: Path, query: str) -> list[Any]:
    """What a SQLite database answers. Closed at once: a connection left open would hold it up."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def _shown(value: Any) -> str:
    return repr(value)[:1500]


Undisturbed = dict[tuple[str, int], tuple[dict[str, Any], int]]
"""By pipeline and shards what a run that was left alone left, and how many effects it had."""


def run_cases(seeds: range, folder: Path, known: Undisturbed | None = None) -> list[str]:
    """Runs the cases of some seeds; gives the failures, each with its case."""
    known = {} if known is None else known
    failures = []
    for seed in seeds:
        case = drawn(seed)
        key = (case.pipeline, case.shards)
        if key not in known:
            known[key] = undisturbed(folder / f"undisturbed-{case.pipeline}-{case.shards}", *key)
        expected, effects = known[key]
        home = folder / f"case-{seed}"
        found = differences(case, home, expected, effects)
        if found:
            failures.append(f"--case {seed}: {asdict(case)}\n  " + "\n  ".join(found))
        else:
            shutil.rmtree(home)
    return failures


def main() -> int:
    """The long mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="at least so many kills")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--case", type=int, help="just this case, kept for a look")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="elspeth-crash-"))
    known: Undisturbed = {}
    kills, seed, failed = 0, chosen.seed if chosen.case is None else chosen.case, 0
    while kills < chosen.kills and (chosen.case is None or kills == 0):
        failures = run_cases(range(seed, seed + 1), folder / str(seed), known)
        kills += len(drawn(seed).kills)
        failed += len(failures)
        sys.stdout.write("\n".join(failures) if failures else f"case {seed} agrees ({kills} kills)\n")
        sys.stdout.flush()
        seed += 1
    sys.stdout.write(f"{kills} kills, {failed} cases differ; {folder}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
