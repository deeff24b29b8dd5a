"""A PostgreSQL server of a test's own, which it may stop and start."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_PORT = 54391


@dataclass(frozen=True)
class Server:
    """A server that listens on a socket in its folder."""

    programs: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql://elspeth@/postgres?host={self.folder}&port={_PORT}"

    def run(self, program: str, *arguments: str) -> None:
        self._execute(self._words(program, *arguments))

    def _words(self, program: str, *arguments: str) -> list[str]:
        words = [str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        # PostgreSQL refuses to run as root.
        return ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else words

    def _execute(self, words: list[str]) -> None:
        with (self.folder / "commands.log").open("ab") as log:
            subprocess.run(words, stdout=log, stderr=log, check=True, timeout=300, cwd=self.folder)

    def start(self) -> None:
        self._execute(self._starting())

    def stop(self) -> None:
        """At once, as in a power cut."""
        self._execute(self._stopping())

    def _starting(self) -> list[str]:
        options = f"-k {self.folder} -p {_PORT} -c listen_addresses= -c fsync=off"
        return self._words("pg_ctl", "-w", "-l", str(self.folder / "server.log"), "-o", options, "start")

    def _stopping(self) -> list[str]:
        return self._words("pg_ctl", "-m", "immediate", "stop")

    def outage(self, seconds: float) -> Path:
        """A command that stops the server at once and leaves behind what starts it again after a while."""
        path = self.folder / "outage.sh"
        stop, start = (shlex.join(words) for words in (self._stopping(), self._starting()))
        path.write_text(
            f"#!/bin/sh\ncd {self.folder}\n{stop}\n(sleep {seconds}; {start}) >/dev/null 2>&1 &\n"
        )
        path.chmod(0o755)
        return path


@contextmanager
def own_server() -> Iterator[Server]:
    """A running server with an empty database, gone in the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    if not found and on_path is None:
        pytest.skip("there is no PostgreSQL server to start")
    programs = (found[-1] if found else Path(str(on_path))).parent
    folder = Path(tempfile.mkdtemp(prefix="elspeth-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Server(programs, folder)
    try:
        server.run("initdb", "-U", "elspeth", "-A", "trust", "--no-sync")
        server.start()
        yield server
    finally:
        if (folder / "data/postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
