import os
import tempfile
from pathlib import Path

import pytest
from publish_case import Case

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location


@pytest.fixture
def case(tmp_path):
    """A run that has just begun."""
    with Landscape.open(Location.parse(tmp_path / "landscape")) as landscape:
        yield Case.new(landscape, tmp_path)


@pytest.fixture(scope="session")
def shared():
    """A landscape for many runs, in memory where that can be had: the disk would take most of the time."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        root = Path(folder)
        with Landscape.open(Location.parse(root / "landscape")) as landscape:
            yield landscape, root
