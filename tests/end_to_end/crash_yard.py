"""A platform of its own for each run that the crash tests disturb, and everything that a run leaves there."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from crash_cases import PIPELINES, ROWS, Case
from databases import SERVER, Target, new_target
from platforms import BIN, DEFINITIONS, HOME_YAML
from sqlalchemy import text

from elspeth_dagster.cli.summary import of_runs
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import LandscapeMissingError
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.processes import Liveness, process_states
from elspeth_dagster.landscape.query import query

DYING = Path(__file__).with_name("dying")
DEADLINE_S = 600
NO_COMPUTE_LOGS = (
    "compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}\n"
)
"""Dagster starts two processes for each step to catch what it writes, which nobody reads here."""

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


@dataclass(frozen=True)
class Yard:
    """A platform with one pipeline.

    Attributes:
        root: Its folder.
        location: Where its runs are recorded.
        table: The database that its database sink writes to.
    """

    root: Path
    location: Location
    table: Target

    @property
    def environ(self) -> dict[str, str]:
        """What its commands find in their environment."""
        return {
            "ELSPETH_ROOT": str(self.root), "ELSPETH_LANDSCAPE": self.location.url,
            "ELSPETH_SEGMENTS": str(self.location.segments), "DAGSTER_HOME": str(self.root / "home"),
        }  # fmt: skip

    @property
    def log(self) -> str:
        """What its commands have written."""
        return (self.root / "log").read_text()

    def disturbing(self, at: str = "", by: str = "SIGKILL", who: str = "group") -> dict[str, str]:
        """What a command finds in its environment that is to be disturbed at some of its effects."""
        (self.root / "effects").write_bytes(b"")
        return self.environ | {
            "PYTHONPATH": str(DYING), "ELSPETH_DYING": str(self.root / "effects"),
            "ELSPETH_DYING_AT": at, "ELSPETH_DYING_BY": by, "ELSPETH_DYING_WHO": who,
        }  # fmt: skip

    def start(
        self, words: list[str], at: str = "", by: str = "SIGKILL", who: str = "group"
    ) -> tuple[int, int]:
        """Runs a command to its end, or to its death; gives its exit code and its process group."""
        environ = os.environ | self.disturbing(at, by, who)
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(
                words, cwd=self.root, env=environ, stdout=log, stderr=log, start_new_session=True
            )
            try:
                return process.wait(timeout=DEADLINE_S), process.pid
            except subprocess.TimeoutExpired:
                signal_group(process.pid, signal.SIGKILL)
                raise

    @property
    def effects(self) -> int:
        """How many durable effects the last command had."""
        return (self.root / "effects").stat().st_size

    @contextmanager
    def landscape(self) -> Iterator[Landscape]:
        """The record, opened here: a command for each question would take most of the time."""
        with Landscape.open(self.location, create=False) as landscape:
            yield landscape

    def run_id(self) -> str | None:
        """The run, if it has begun."""
        try:
            with self.landscape() as landscape:
                return next((run.run_id for run in reads.runs(landscape)), None)
        except LandscapeMissingError:
            return None

    def is_alive(self, attempt: int = 1) -> bool:
        """Whether a process of one of the run's attempts is alive."""
        run_id = self.run_id()
        if run_id is None:
            return False
        with self.landscape() as landscape:
            states = landscape.ask(lambda connection: process_states(connection, run_id, attempt))
        return any(state.liveness is Liveness.ALIVE for state in states)

    def forget_dagster(self) -> None:
        """Makes Dagster forget everything."""
        shutil.rmtree(self.root / "home")
        _make_home(self.root / "home")

    def cancel_in_dagster(self) -> None:
        """Has Dagster take its runs for over, as "Terminate" with "force" does in the UI."""
        with dg.DagsterInstance.from_config(str(self.root / "home")) as instance:
            for run in instance.get_runs():
                if not run.is_finished:
                    instance.report_run_canceled(run)


@contextmanager
def laid_out(root: Path, case: Case, server: str | None = SERVER) -> Iterator[Yard]:
    """A yard with input, and with what was in its pipeline's targets before.

    Args:
        root: Its folder.
        case: What is to be done in it.
        server: Where PostgreSQL databases are made for it.
    """
    (root / "pipelines").mkdir(parents=True)
    (root / "output").mkdir()
    _make_home(root / "home")
    (root / "definitions.py").write_text(DEFINITIONS)
    (root / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: definitions.py, location_name: elspeth}\n"
    )
    (root / "rows.csv").write_text(_rows_of(case.pipeline))
    (root / "output" / "log.csv").write_text("id,name,value\r\n-1,before,0\r\n")
    with ExitStack() as databases:
        table = databases.enter_context(new_target(case.table, root / "output", server))
        catalogue = str(root / "landscape")
        if case.catalogue == "postgresql":
            catalogue = databases.enter_context(new_target("postgresql", root, server)).url
        location = Location.parse(catalogue, segments=root / "landscape" / "segments")
        table.query("CREATE TABLE rows (id INTEGER CHECK (id <> 26), name TEXT, value TEXT)")
        (root / "pipelines" / f"{case.pipeline}.yaml").write_text(json.dumps(_settings(case, table)))
        yield Yard(root, location, table)


def _make_home(home: Path) -> None:
    home.mkdir()
    (home / "dagster.yaml").write_text(HOME_YAML + NO_COMPUTE_LOGS)


def _rows_of(pipeline: str) -> str:
    lines = [f"{n},{'name' * (n % 3)}{n},{'' if n % 7 == 0 else n / 2}" for n in range(ROWS)]
    lines[11] = "11,odd"
    lines[23] = "x" + lines[23] if pipeline == "joins" else lines[23]
    return "\n".join(["id,name,value", *lines]) + "\n"


def _settings(case: Case, table: Target) -> dict[str, Any]:
    settings: dict[str, Any] = PIPELINES[case.pipeline] | {
        "checkpoint": {"frequency": "every_n", "checkpoint_interval": 9},
        "dagster": {"shards": case.shards},
    }
    settings = json.loads(json.dumps(settings))
    if "table" in settings["sinks"]:
        settings["sinks"]["table"]["options"]["url"] = table.url
    return settings


def signal_group(group: int, number: int) -> bool:
    """Signals all processes of a group; says whether there were any."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def starting(case: Case) -> list[str]:
    """The command that begins the run."""
    if case.way == "dagster":
        return [str(BIN / "dagster"), "job", "execute", "-f", "definitions.py", "-j", case.pipeline]
    return [str(BIN / "elspeth"), "run", f"pipelines/{case.pipeline}.yaml"]


def continuing(yard: Yard, words: list[str]) -> list[str]:
    """The command that goes on: the same again when the run had not begun."""
    run_id = yard.run_id()
    return words if run_id is None else [str(BIN / "elspeth"), "resume", run_id]


def state_of(yard: Yard) -> dict[str, Any]:
    """Everything that must be the same however often a run was disturbed."""
    with yard.landscape() as landscape:
        (run,) = of_runs(landscape, limit=10, pipeline=None, partition=None)
        record = {name: query(landscape, text).to_pylist() for name, text in QUERIES.items()}
    files = {
        str(path.relative_to(yard.root)): path.read_bytes()
        for path in sorted((yard.root / "output").rglob("*"))
        if path.is_file() and path.suffix != ".db"
    }
    # In the order in which the rows were put in.
    place = "rowid" if yard.table.kind == "sqlite" else "ctid"
    tables = {
        name: yard.table.query(f'SELECT * FROM "{name}" ORDER BY {place}') for name in yard.table.tables()
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
        locks = landscape.ask(lambda connection: connection.execute(text("SELECT name FROM ops_locks")).all())
    segments = yard.location.segments
    strays = {
        str(path.relative_to(segments))
        for path in segments.rglob("*")
        if path.is_file() and "locks" not in path.parts
    } - named
    return {"strays": sorted(strays), "locks": locks}


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What of a state is not as it should be, a text each."""
    return [
        f"{name}: {_shown(found[name])}\n    instead of {_shown(value)}"
        for name, value in expected.items()
        if not _same(name, found[name], value)
    ]


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


def _shown(value: Any) -> str:
    return repr(value)[:1500]
