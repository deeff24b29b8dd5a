"""Kills the process at a chosen instant: before or after the n-th durable effect of the whole run.

Put on PYTHONPATH, it is loaded by every Python process of a run, the steps of the multiprocess executor too.
`ELSPETH_DYING` is the path of a file that grows by a byte with each effect, so that all processes count
together; `ELSPETH_DYING_AT` is the effect to die at, 0 for never; `ELSPETH_DYING_BY` the signal, and
`ELSPETH_DYING_WHO` whether just this process gets it or its whole group.
"""

import contextlib
import functools
import os
import signal

EFFECTS = (
    "make_folder", "create_file", "overwrite_file", "append_file", "write_file", "fsync_file", "fsync_paths",
    "fsync_folder", "replace_file", "remove_file", "remove_folder_if_empty",
)  # fmt: skip


def _effect() -> None:
    descriptor = os.open(os.environ["ELSPETH_DYING"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    count = os.fstat(descriptor).st_size
    os.close(descriptor)
    if count == int(os.environ["ELSPETH_DYING_AT"]):
        number = signal.Signals[os.environ["ELSPETH_DYING_BY"]]
        if os.environ["ELSPETH_DYING_WHO"] == "group":
            os.killpg(os.getpgrp(), number)
        else:
            os.kill(os.getpid(), number)


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
            _effect()
        _effect()

    Landscape.transaction = counted_transaction


if os.environ.get("ELSPETH_DYING"):
    _install()
