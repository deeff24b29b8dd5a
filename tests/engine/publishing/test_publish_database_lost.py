"""Publishes whose database goes away in the middle."""

import threading

import psycopg
import pytest
from databases import Target, new_target
from postgres_server import own_server

from elspeth_dagster.engine import publish_database
from elspeth_dagster.engine.publish_errors import DatabaseTargetError
from elspeth_dagster.engine.publishing import Publishing
from elspeth_dagster.plugins.sinks.database import DatabaseOptions, DatabaseSink
from elspeth_dagster.plugins.sinks.databases import connection

ROWS = [{"id": i, "name": f"n{i}"} for i in range(100)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(publish_database, "_PART_ROWS", 20)


@pytest.fixture(scope="module")
def server():
    with own_server() as started:
        yield started


@pytest.fixture
def target(server):
    made = Target(server.url, "postgresql")
    yield made
    made.query("DROP TABLE IF EXISTS people")


def sink_to(target):
    return DatabaseSink(DatabaseOptions(url=target.url, table="people"))


def all_rows(target):
    return target.query("SELECT id, name FROM people ORDER BY id") == [(i, f"n{i}") for i in range(100)]


def stop_before_commit(monkeypatch, server, number, then):
    """Stops the server when a transaction is about to be committed."""
    check, calls = Publishing.check_fence, []

    def checking(self):
        check(self)
        calls.append(1)
        if len(calls) == number:
            server.stop()
            then()

    monkeypatch.setattr(Publishing, "check_fence", checking)


def test_a_server_that_is_stopped_and_started_in_the_middle(case, server, target, monkeypatch):
    sink = sink_to(target)
    case.sweep(sink, ROWS)
    timer = threading.Timer(1.5, server.start)
    stop_before_commit(monkeypatch, server, 4, timer.start)
    artifact = case.publish(sink)
    timer.join()
    assert all_rows(target)
    assert artifact.rows == 100
    assert target.query("SELECT * FROM elspeth_markers") == []


def test_a_server_that_stays_away_stops_the_publish_and_a_resume_completes_it(
    case, server, target, monkeypatch
):
    monkeypatch.setattr(connection, "_WAITS_S", (0.0, 0.1))
    sink = sink_to(target)
    case.sweep(sink, ROWS)
    stop_before_commit(monkeypatch, server, 4, lambda: None)
    with pytest.raises(DatabaseTargetError, match="cannot be written") as caught:
        case.publish(sink)
    assert caught.value.retryable
    server.start()
    assert target.query("SELECT count(*) FROM people") == [(40,)]
    assert case.resumed().publish(sink).rows == 100
    assert all_rows(target)


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_outcome_is_unknown(case, tmp_path, monkeypatch, committed):
    with new_target("postgresql", tmp_path) as target:
        sink = sink_to(target)
        case.sweep(sink, ROWS)
        commit, calls = psycopg.Connection.commit, []

        def losing(self):
            calls.append(1)
            if len(calls) in (3, 5):
                if committed:
                    commit(self)
                self.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            commit(self)

        monkeypatch.setattr(psycopg.Connection, "commit", losing)
        assert case.publish(sink).rows == 100
        monkeypatch.undo()
        assert len(calls) > 6
        assert all_rows(target)
