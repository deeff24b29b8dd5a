"""Which files are opened."""

import ctypes
import io
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def files_opened(top: Path) -> Iterator[set[str]]:
    """The names of the files below a folder that are opened meanwhile, as the kernel tells it."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells which files are opened")
    libc, is_opened, is_folder = ctypes.CDLL(None, use_errno=True), 0x20, 0x40000000
    names: set[str] = set()
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        for folder in [top, *(path for path in top.rglob("*") if path.is_dir())]:
            assert libc.inotify_add_watch(watch, os.fsencode(folder), is_opened) >= 0
        yield names
        events = io.BytesIO(os.read(watch, 1 << 20))
        while header := events.read(16):
            _, mask, _, length = struct.unpack("iIII", header)
            name = events.read(length).rstrip(b"\0").decode()
            if not mask & is_folder:
                names.add(name)
    finally:
        os.close(watch)
