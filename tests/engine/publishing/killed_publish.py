"""A process that is killed while it publishes."""

import os
import signal
from pathlib import Path

from publish_case import Case, csv_sink, request

from elspeth_dagster.engine import publish_append, publishing
from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def before(module, name):
    setattr(module, name, die)


def after(module, name):
    call = getattr(module, name)

    def then_die(*arguments):
        call(*arguments)
        die()

    setattr(module, name, then_die)


def half_copied(source, target, _length):
    data = source.read()
    target.write(data[: len(data) // 2])
    target.flush()
    die()


INSTANTS = {
    "written": lambda: before(storage, "fsync_file"),
    "renaming": lambda: before(storage, "replace_file"),
    "renamed": lambda: after(storage, "replace_file"),
    "appending": lambda: before(storage, "append_file"),
    "half appended": lambda: setattr(publish_append, "shutil", Half),
    "appended": lambda: before(publishing, "commit"),
    "committed": lambda: after(publishing, "commit"),
}


class Half:
    copyfileobj = staticmethod(half_copied)


def publish_and_die(root: Path, dagster_run_id: str, mode: str, instant: str) -> None:
    with Landscape.open(Location.parse(root / "landscape")) as landscape:
        case = Case(landscape, root, ensure_attempt(landscape, request(dagster_run_id)))
        INSTANTS[instant]()
        case.publish(csv_sink(mode=mode))
