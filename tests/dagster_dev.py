"""A real `dagster dev` over a platform of its own, and its GraphQL."""

import json
import os
import random
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import brittle
from platforms import BIN, DEADLINE_S, Platform, kill, wait_for

REPOSITORY = Path(__file__).parent.parent
LOCATION = "elspeth"
IMPATIENT_YAML = (
    "run_coordinator:\n  module: dagster.core.run_coordinator\n  class: QueuedRunCoordinator\n"
    "  config: {dequeue_interval_seconds: 1}\n"
)
ARRIVALS = {
    "source": {"plugin": "csv", "on_success": "out",
               "options": {"path": "in/any.csv", "on_validation_failure": "discard"}},
    "sinks": {"out": {"plugin": "csv", "options": {"path": "output/arrivals/{partition}"}}},
    "dagster": {"sensor": {"watch": "in/*.csv", "settle_seconds": 1}},
}  # fmt: skip
FINISHED = {"SUCCESS", "FAILURE", "CANCELED"}
# Ends the whole process group as soon as the pipe to its input closes: also when the tests are killed.
_WATCHED = '"$@" & read -r _; kill -9 0'


@dataclass(frozen=True)
class DagsterDev:
    """A running `dagster dev`.

    Attributes:
        platform: What it serves.
        environ: The environment that it runs in.
        url: Where it serves.
    """

    platform: Platform
    environ: Mapping[str, str]
    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a GraphQL query gives."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as refused:
            answer = json.load(refused)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch(
        self,
        job: str,
        config: Mapping[str, Any] | None = None,
        assets: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Launches a job as the UI does, and gives the Dagster run's id."""
        selector: dict[str, Any] = self.job(job)
        if assets:
            selector["assetSelection"] = [{"path": asset.split("/")} for asset in assets]
        tagged = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        params = {"selector": selector, "runConfigData": json.dumps(config or {}), "mode": "default"}
        params["executionMetadata"] = tagged
        return _launched(self.ask(LAUNCH, params=params)["launchPipelineExecution"])

    def reexecute(self, dagster_run_id: str, strategy: str) -> str:
        """Re-executes a run as the UI does, and gives the new Dagster run's id."""
        params = {"parentRunId": dagster_run_id, "strategy": strategy}
        return _launched(self.ask(REEXECUTE, params=params)["launchRunReexecution"])

    def finished(self, dagster_run_id: str) -> str:
        """Waits for a Dagster run's end and gives its status."""
        wait_for(lambda: self.status(dagster_run_id) in FINISHED, f"the end of run {dagster_run_id}")
        return self.status(dagster_run_id)

    def status(self, dagster_run_id: str) -> str:
        """How Dagster says that a run stands."""
        status: str = self.ask(STATUS, id=dagster_run_id)["runOrError"]["status"]
        return status

    def job(self, name: str) -> dict[str, Any]:
        """How GraphQL names a job."""
        where = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
        return {"pipelineName": name} | where

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows that `elspeth sql` answers about the platform's landscape."""
        with mock.patch.dict(os.environ, self.environ):
            return self.platform.sql(query)

    def attempts(self, pipeline: str) -> list[tuple[str, int, str, str]]:
        """Run, number, status and Dagster run of every attempt on a pipeline, in order of their start."""
        wanted = "run_id, number, status, dagster_run_id"
        rows = self.sql(f"SELECT {wanted} FROM attempts WHERE pipeline = '{pipeline}' ORDER BY started_at")
        return [tuple(row.values()) for row in rows]  # type: ignore[misc]


def _launched(answer: dict[str, Any]) -> str:
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id: str = answer["run"]["runId"]
    return run_id


_ANSWER = """
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message stack }
"""
LAUNCH = (
    "mutation($params: ExecutionParams!) "
    f"{{ launchPipelineExecution(executionParams: $params) {{{_ANSWER}}} }}"
)
REEXECUTE = (
    "mutation($params: ReexecutionParams!) "
    f"{{ launchRunReexecution(reexecutionParams: $params) {{{_ANSWER}}} }}"
)
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def example_platform(root: Path) -> Platform:
    """The platform that users get: the examples, and what loads them."""
    platform = Platform(root)
    root.mkdir(parents=True)
    for name in ("definitions.py", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, root)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "pipelines", root / "pipelines", ignore=ignored)
    return platform


def add_brittle(
    platform: Platform, name: str, plugin: str = brittle.RAISES, checks: Mapping[str, Any] | None = None
) -> Path:
    """Adds a pipeline, by default with a plugin that raises at row 23, and gives the plugin's file."""
    brittle.write_numbers(platform)
    settings = brittle.settings_of(f"output/{name}") | {"dagster": {"checks": dict(checks or {})}}
    platform.write(f"pipelines/{name}/settings.yaml", settings)
    return platform.write(f"pipelines/{name}/plugins/brittle.py", plugin)


@contextmanager
def dagster_dev(
    platform: Platform, home: Path, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[DagsterDev]:
    """Starts `dagster dev`, with more in its environment, and ends it with everything that it started."""
    port = _free_port()
    ours = {"DAGSTER_HOME": str(home), "ELSPETH_ROOT": str(platform.root), **environ}
    others = {name: value for name, value in os.environ.items() if not name.startswith("ELSPETH_")}
    command = [BIN / "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", port]
    with (platform.root / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "dagster-dev", *map(str, command)],
            cwd=platform.root, env=others | ours, stdin=subprocess.PIPE, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    server = DagsterDev(platform, ours, f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: process.poll() is not None or _serves(server), "dagster dev")
        assert process.poll() is None, (platform.root / "dev.log").read_text()[-3000:]
        yield server
    finally:
        kill(process)


def _serves(server: DagsterDev) -> bool:
    try:
        loaded = server.ask("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
    except (urllib.error.URLError, ConnectionError):
        return False
    entries = loaded["workspaceOrError"]["locationEntries"]
    return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)


def _free_port() -> int:
    """One that no connection is given by itself, as it is some time until the server takes it."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
