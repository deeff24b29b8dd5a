"""A platform of its own for a test: a temporary folder with pipelines, a landscape and a Dagster home."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from click.testing import CliRunner

from elspeth_dagster.cli import main

HOME_YAML = Path(__file__).parent.parent.joinpath("dagster.yaml").read_text()
BIN = Path(sys.executable).parent
DEFINITIONS = (
    "from elspeth_dagster.orchestration.definitions import build_definitions\n\n"
    'defs = build_definitions("pipelines")\n'
)
DEADLINE_S = 600
"""Long enough for a busy machine: only what hangs takes it."""


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Platform:
    """A folder with everything that a platform has, and the commands that work on it."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def write(self, name: str, content: str | bytes | Mapping[str, Any]) -> Path:
        """Writes a file; a mapping becomes YAML, text is dedented and keeps its line ends."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Mapping):
            content = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
        elif isinstance(content, str):
            content = textwrap.dedent(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def pipeline(self, name: str, document: str | bytes | Mapping[str, Any]) -> Path:
        """Writes `pipelines/NAME.yaml`."""
        return self.write(f"pipelines/{name}.yaml", document)

    def plugin(self, name: str, code: str) -> Path:
        """Writes `pipelines/plugins/NAME.py`."""
        return self.write(f"pipelines/plugins/{name}.py", code)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def outputs(self, folder: str = "output") -> dict[str, bytes]:
        """Every file under a folder, by its path below it."""
        top = self.root / folder
        return {str(p.relative_to(top)): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}

    def elspeth(self, *args: str | Path, process: bool = False) -> Answer:
        """Runs an `elspeth` command: in this process, or in one of its own."""
        words = [str(arg) for arg in args]
        if process:
            return self.execute(BIN / "elspeth", *words)
        with mock.patch.dict(os.environ):
            result = CliRunner().invoke(main, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def run(self, settings: str | Path, *args: str | Path, process: bool = False) -> Answer:
        """`elspeth run SETTINGS --json`."""
        return self.elspeth("run", settings, "--json", *args, process=process)

    def completed(self, settings: str | Path, *args: str | Path, process: bool = False) -> Any:
        """The JSON of a run that has to complete."""
        answer = self.run(settings, *args, process=process)
        assert answer.code == 0, answer.err or answer.out
        return answer.json

    def resume(self, run_id: str, *args: str, process: bool = False) -> Answer:
        """`elspeth resume RUN --json`."""
        return self.elspeth("resume", run_id, "--json", *args, process=process)

    def runs(self) -> list[dict[str, Any]]:
        """`elspeth runs --json`."""
        answer = self.elspeth("runs", "--json")
        assert answer.code == 0, answer.err
        found: list[dict[str, Any]] = answer.json["runs"]
        return found

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows that `elspeth sql` answers."""
        answer = self.elspeth("sql", query, "--json")
        assert answer.code == 0, answer.err
        rows: list[dict[str, Any]] = answer.json["rows"]
        return rows

    def outcomes(self, run_id: str) -> dict[str, int]:
        """Outcomes of a run's tokens as the record has them, counted by SQL."""
        query = f"SELECT outcome, count(*) AS n FROM outcomes WHERE run_id = '{run_id}' GROUP BY outcome"
        return {row["outcome"]: row["n"] for row in self.sql(query)}

    def execute(self, *command: str | Path) -> Answer:
        """A command in a process of its own, to its end."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.root, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *command: str | Path) -> "subprocess.Popen[bytes]":
        """A command in a process group of its own, left running; what it writes goes to `started.log`."""
        with (self.root / "started.log").open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in command],
                cwd=self.root, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def forget_dagster(self) -> None:
        """Empties the Dagster home, but for its dagster.yaml."""
        home = Path(os.environ["DAGSTER_HOME"])
        shutil.rmtree(home)
        home.mkdir()
        (home / "dagster.yaml").write_text(HOME_YAML)

    def dagster_job_execute(self, job: str, *args: str | Path) -> Answer:
        """`dagster job execute -f definitions.py -j JOB`."""
        if not self.path("definitions.py").exists():
            self.write("definitions.py", DEFINITIONS)
        return self.execute(BIN / "dagster", "job", "execute", "-f", "definitions.py", "-j", job, *args)


Start = Callable[..., "subprocess.Popen[bytes]"]
"""Starts a command, which is killed at the latest when the test ends."""


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Ends a started process and all of its group at once, as `kill -9` does."""
    if process.poll() is None:
        kill_group(process.pid)
    process.wait(timeout=DEADLINE_S)


def kill_group(group: int) -> None:
    """Ends all processes of a group at once, if there are any, and waits until they are gone."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        wait_for(lambda: not _has_living(group), "the end of the processes")


def _has_living(group: int) -> bool:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, of = path.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state not in "ZX":
                return True
    return False


def wait_for(
    condition: Callable[[], bool], what: str, within_s: float = DEADLINE_S, *, look_every_s: float = 0.1
) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(look_every_s)
