"""Disturbs a run at chosen instants: before or after the n-th durable effect of all its processes.

Put on PYTHONPATH, it is loaded by every Python process of a run, the steps of the multiprocess executor too.
`ELSPETH_DYING` is the path of a file that grows by a byte with each effect, so that all processes count
together. `ELSPETH_DYING_AT` are the effects to disturb at, none for never. `ELSPETH_DYING_BY` is the signal,
or the path of a command that is run while the process waits. `ELSPETH_DYING_WHO` says who gets the signal:
this `process`, its whole `group`, or, with `asleep`, the parent that hands out the steps, whose orphans then
fall asleep as soon as they are in no transaction and hold no target.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess

EFFECTS = (
    "make_folder", "create_file", "append_file", "write_file", "fsync_file", "fsync_folder", "replace_file",
    "remove_file", "remove_folder_if_empty",
)  # fmt: skip
INSTANTS = [int(instant) for instant in os.environ.get("ELSPETH_DYING_AT", "").split()]

TIRED = ["once"] if os.environ.get("ELSPETH_DYING_WHO") == "asleep" else []
"""Empty once the process has slept."""

HOLDING: list[str] = []
"""A mark for each target that this process has locked."""


def _effect(*, in_transaction: bool = False) -> None:
    descriptor = os.open(os.environ["ELSPETH_DYING"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    count = os.fstat(descriptor).st_size
    os.close(descriptor)
    if count in INSTANTS:
        _disturb(os.environ["ELSPETH_DYING_BY"], os.environ["ELSPETH_DYING_WHO"])
    # Asleep in a transaction, it would keep everybody else out of the catalogue; with a target, out of that.
    if TIRED and not in_transaction and not HOLDING and count >= INSTANTS[0]:
        TIRED.clear()
        os.kill(os.getpid(), signal.SIGSTOP)


def _disturb(by: str, who: str) -> None:
    if os.sep in by:
        subprocess.run([by], check=True, stdout=subprocess.DEVNULL)
    elif who == "group":
        os.killpg(os.getpgrp(), signal.Signals[by])
    else:
        parent = multiprocessing.parent_process() if who == "asleep" else None
        os.kill(os.getpid() if parent is None else parent.pid, signal.Signals[by])


def _counted(effect):
    @functools.wraps(effect)
    def counted(*args, **kwargs):
        _effect()
        result = effect(*args, **kwargs)
        _effect()
        return result

    return counted


def _install() -> None:
    # Only a process that is to die loads them.
    from elspeth_dagster.landscape import storage  # noqa: PLC0415
    from elspeth_dagster.landscape.catalogue import Landscape  # noqa: PLC0415

    for name in EFFECTS:
        setattr(storage, name, _counted(getattr(storage, name)))
    transaction = Landscape.transaction

    @contextlib.contextmanager
    def counted_transaction(self):
        with transaction(self) as connection:
            yield connection
            _effect(in_transaction=True)
        _effect()

    Landscape.transaction = counted_transaction
    _note_locks()


def _note_locks() -> None:
    from elspeth_dagster.engine.target import Target  # noqa: PLC0415

    locked = Target.locked

    @contextlib.contextmanager
    def noted(self, landscape):
        with locked(self, landscape):
            HOLDING.append(str(self.path))
            try:
                yield
            finally:
                HOLDING.pop()

    Target.locked = noted


if os.environ.get("ELSPETH_DYING"):
    _install()
