import pytest
from publish_case import Case

from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location


@pytest.fixture
def case(tmp_path):
    """A run that has just begun."""
    with Landscape.open(Location.parse(tmp_path / "landscape")) as landscape:
        yield Case.new(landscape, tmp_path)
