"""The server that the processes of runs are forked from, with everything loaded.

A process that is started anew loads Dagster and Arrow for some seconds before it reads a row. Here that is
done once; what users write, their definitions, settings and plugins, is loaded in each run's process.
"""

import gc
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO

from dagster._cli.api import api_cli

from elspeth_dagster.landscape.processes import identify
from elspeth_dagster.orchestration import preload  # noqa: F401 - loaded for the runs
from elspeth_dagster.orchestration.lines import GO, say


def serve(requests: IO[bytes], answers: IO[bytes]) -> str | None:
    """Forks a process for each request.

    Returns:
        In such a process what it is to execute; in the server, once nobody is left to ask, `None`.
    """
    for request in requests:
        wait, let_go = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(let_go)
            answers.close()
            with os.fdopen(wait, "rb") as word:
                told = word.read() == GO
            return json.loads(request) if told else None
        os.close(wait)
        with os.fdopen(let_go, "wb") as word:
            worker = identify(pid)
            assert worker is not None
            say(answers, json.dumps(asdict(worker)).encode() + b"\n")
            word.write(requests.readline())
    return None


def _main() -> None:
    # What a run prints is no answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the runs' processes as well
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    gc.collect()
    gc.freeze()  # so that a process does not copy what it only reads
    execute_run = serve(sys.stdin.buffer, answers)
    if execute_run is None:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, "")  # as where Dagster starts the process of a run
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())  # or what a run starts would read the requests
    api_cli(["execute_run", execute_run])


if __name__ == "__main__":
    _main()
