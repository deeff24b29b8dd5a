import os
import shutil
import uuid

import pytest
from landscape_drafts import request as attempt_request
from sqlalchemy import create_engine, make_url, text

from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location


class Sqlite:
    """Gives places for SQLite catalogues."""

    def __init__(self, folder):
        self._template = Location.parse(folder / "template")
        Landscape.open(self._template).close()

    def new(self, folder):
        return Location.parse(folder / "a landscape %ü")

    def migrated(self, folder):
        location = self.new(folder)
        location.database.parent.mkdir()
        shutil.copy(self._template.database, location.database)
        return location

    def drop(self, location):
        """The folder goes with the test's own."""


class Postgresql:
    """Gives databases on the server that `ELSPETH_TEST_POSTGRES` names."""

    def __init__(self, folder):
        url = make_url(os.environ["ELSPETH_TEST_POSTGRES"]).set(drivername="postgresql+psycopg")
        self._server = create_engine(url, isolation_level="AUTOCOMMIT")
        self._template = self.new(folder)
        Landscape.open(self._template).close()

    def new(self, folder, template="template1"):
        name = f"elspeth_{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        url = self._server.url.set(database=name).render_as_string(hide_password=False)
        return Location.parse(url, segments=folder / "segments ü")

    def migrated(self, folder):
        return self.new(folder, make_url(self._template.url).database)

    def drop(self, location):
        self._run(f"DROP DATABASE {make_url(location.url).database} WITH (FORCE)")

    def close(self):
        self.drop(self._template)
        self._server.dispose()

    def _run(self, statement):
        with self._server.connect() as connection:
            connection.execute(text(statement))


@pytest.fixture(scope="session")
def sqlite_places(tmp_path_factory):
    return Sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_places(tmp_path_factory):
    if "ELSPETH_TEST_POSTGRES" not in os.environ:
        pytest.skip("ELSPETH_TEST_POSTGRES names no server")
    places = Postgresql(tmp_path_factory.mktemp("postgresql"))
    yield places
    places.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request):
    """Where catalogues can be kept: every test that asks runs on each kind of database."""
    return request.getfixturevalue(f"{request.param}_places")


@pytest.fixture
def location(places, tmp_path):
    """A place where nothing is yet."""
    location = places.new(tmp_path)
    yield location
    places.drop(location)


@pytest.fixture
def landscape(places, tmp_path):
    location = places.migrated(tmp_path)
    with Landscape.open(location) as opened:
        yield opened
    places.drop(location)


@pytest.fixture
def attempt(landscape):
    return ensure_attempt(landscape, attempt_request())
