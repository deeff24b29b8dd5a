"""Processes of runs, asked of a server that forks them; it is started with the first one."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape.processes import Process
from elspeth_dagster.orchestration.lines import GO, STAY, say

_SERVER = "elspeth_dagster.orchestration.worker_server"


class WorkersError(ElspethError):
    """The server of the runs' processes does not answer."""


class Workers:
    """Starts processes of runs; the server is started with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> int | None:
        """The number of the server's process; `None` before the first start."""
        return None if self._server is None else self._server.pid

    def start(self, execute_run: str, begun: Callable[[Process], None]) -> None:
        """Starts the process of a run.

        Args:
            execute_run: What `dagster api execute_run` takes; JSON.
            begun: Is told who the process is, before it does anything. If it raises, it does nothing.

        Raises:
            WorkersError: The server died, also when it was started again.
        """
        with self._lock:
            try:
                self._start(execute_run, begun)
            except OSError:
                self.close()
                try:
                    self._start(execute_run, begun)
                except OSError as error:
                    raise WorkersError(
                        f"the server of the runs' processes does not answer: {error}"
                    ) from error

    def close(self) -> None:
        """Lets the server end; the processes that it started go on."""
        server, self._server = self._server, None
        if server is not None:
            for pipe in (server.stdin, server.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()
            server.wait()

    def _start(self, execute_run: str, begun: Callable[[Process], None]) -> None:
        if self._server is None:
            command = [sys.executable, "-P", "-m", _SERVER]
            self._server = subprocess.Popen(  # noqa: S603 - a module of ours
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        requests, answers = self._server.stdin, self._server.stdout
        assert requests is not None
        assert answers is not None
        say(requests, json.dumps(execute_run).encode() + b"\n")
        answer = answers.readline()
        if not answer:
            raise OSError("it ended")
        said = STAY
        try:
            begun(Process(**json.loads(answer)))
            said = GO
        finally:
            say(requests, said)
