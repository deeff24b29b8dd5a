import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from landscape_drafts import processes_context
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from elspeth_dagster.landscape import migrations, schema
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import (
    CatalogueLostError,
    LandscapeMissingError,
    NewerLandscapeError,
    UnreadableLandscapeError,
)
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.schema import UtcTime, metadata


def test_migrations_make_what_the_code_reads_and_writes(landscape):
    with landscape.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_every_migration_is_known_in_order():
    script = ScriptDirectory(migrations.__path__[0])
    found = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(found)) == schema.REVISIONS


def test_a_landscape_opens_again(location):
    Landscape.open(location).close()
    with Landscape.open(location, create=False) as landscape, landscape.read() as connection:
        assert (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            == schema.REVISIONS[-1]
        )
    assert location.segments.is_dir()


def test_a_catalogue_as_first_released_is_brought_up_to_date(location):
    with Landscape.open(location) as landscape, landscape.transaction() as connection:
        for table in ("artifacts", "chunks", "edges", "markers", "nodes"):
            connection.execute(text(f"DROP INDEX ix_{table}_commit_id"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with Landscape.open(location, create=False) as landscape:
        test_migrations_make_what_the_code_reads_and_writes(landscape)


def test_nothing_is_made_when_nothing_was_to_be_made(tmp_path):
    with pytest.raises(LandscapeMissingError, match="nothing has been run there yet"):
        Landscape.open(Location.parse(tmp_path / "none"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_no_landscape(location):
    if location.database is not None:
        location.database.parent.mkdir()
        location.database.touch()
    with pytest.raises(LandscapeMissingError):
        Landscape.open(location, create=False)


def test_a_catalogue_of_a_later_version_is_refused_and_left_alone(location):
    with Landscape.open(location) as landscape, landscape.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerLandscapeError, match=r"'9999'.*Use a newer elspeth_dagster"):
        Landscape.open(location)


def test_something_else_in_its_place_is_named(tmp_path):
    (tmp_path / "catalogue.db").write_text("not a database at all, but long enough to be looked at" * 50)
    with pytest.raises(UnreadableLandscapeError, match="not a database"):
        Landscape.open(Location.parse(tmp_path))


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "catalogue.db").mkdir()
    with pytest.raises((UnreadableLandscapeError, CatalogueLostError)):
        Landscape.open(Location.parse(tmp_path))


def test_a_migration_that_does_not_finish_leaves_nothing(location, monkeypatch):
    real = command.upgrade

    def fail_at_the_end(config, revision):
        real(config, revision)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", fail_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            Landscape.open(location)
    with pytest.raises(LandscapeMissingError):
        Landscape.open(location, create=False)
    Landscape.open(location).close()


def _open(location, barrier, results):
    barrier.wait()
    with Landscape.open(location) as landscape, landscape.read() as connection:
        results.put(connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one())


def test_processes_that_open_a_new_landscape_at_once_make_it_once(location):
    spawn = processes_context()
    barrier, results = spawn.Barrier(3), spawn.Queue()
    processes = [spawn.Process(target=_open, args=(location, barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    assert counts == [1, 1, 1]


def test_sqlite_is_as_durable_as_it_can_be(tmp_path):
    with Landscape.open(Location.parse(tmp_path)) as landscape, landscape.transaction() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_writer_waits_for_the_one_before_it_and_reads_what_it_wrote(tmp_path):
    location = Location.parse(tmp_path)
    with Landscape.open(location) as first, Landscape.open(location) as second:
        with first.transaction() as connection:
            connection.execute(
                insert(schema.ops_locks).values(name="a", run_id="r", attempt=1, taken_at=datetime.now(UTC))
            )
            other = sqlite3.connect(location.database, timeout=0)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.close()
        with second.transaction() as connection:
            assert connection.execute(select(schema.ops_locks.c.name)).scalars().all() == ["a"]


def test_a_reader_goes_on_while_a_writer_commits(landscape):
    row = {"name": "a", "run_id": "r", "attempt": 1, "taken_at": datetime.now(UTC)}
    with Landscape.open(landscape.location) as other, landscape.read() as reading:
        names = select(schema.ops_locks.c.name)
        assert reading.execute(names).all() == []
        with other.transaction() as writing:
            writing.execute(insert(schema.ops_locks).values(**row))
        assert reading.execute(names).all() == []
    with landscape.read() as reading:
        assert reading.execute(names).scalars().all() == ["a"]


def test_a_reading_transaction_cannot_write_and_the_next_one_can(landscape):
    row = {"name": "a", "run_id": "r", "attempt": 1, "taken_at": datetime.now(UTC)}
    with pytest.raises((DBAPIError, CatalogueLostError)), landscape.read() as connection:
        connection.execute(insert(schema.ops_locks).values(**row))
    with landscape.transaction() as connection:
        connection.execute(insert(schema.ops_locks).values(**row))


def test_an_error_leaves_nothing_of_its_transaction(landscape):
    row = {"name": "a", "run_id": "r", "attempt": 1, "taken_at": datetime.now(UTC)}
    with pytest.raises(IntegrityError), landscape.transaction() as connection:
        connection.execute(insert(schema.ops_locks), [row, row])
    with landscape.read() as connection:
        assert connection.execute(select(schema.ops_locks)).all() == []


def test_instants_are_text_whose_order_is_theirs():
    kind = UtcTime()
    late = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    early = datetime(2024, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert kind.process_bind_param(late, None) == "2024-01-02T03:04:05.000006Z"
    assert kind.process_bind_param(early, None) < kind.process_bind_param(late, None)
    assert kind.process_result_value("2024-01-02T03:04:05.000006Z", None) == late


def test_importing_the_landscape_loads_nothing_heavy():
    code = (
        "import sys, pkgutil, importlib, elspeth_dagster.landscape as l\n"
        "for m in pkgutil.iter_modules(l.__path__):\n"
        "    if m.name != 'migrations': importlib.import_module(f'elspeth_dagster.landscape.{m.name}')\n"
        "print([m for m in ('alembic', 'duckdb', 'pandas', 'dagster', 'psycopg') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_opening_a_landscape_that_is_up_to_date_does_not_load_alembic(tmp_path):
    Landscape.open(Location.parse(tmp_path)).close()
    code = (
        "import sys\nfrom elspeth_dagster.landscape.catalogue import Landscape\n"
        "from elspeth_dagster.landscape.location import Location\n"
        "Landscape.open(Location.parse(sys.argv[1])).close()\nprint('alembic' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
