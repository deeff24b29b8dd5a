"""A catalogue on PostgreSQL whose server is stopped at once in the middle of a run, and started again.

The instants are spread over all durable effects of the run. `ELSPETH_OUTAGES` is at how many of them the
server is stopped in one run, 3 by default.
"""

import itertools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from brittle import MENDED, RAISES, counts, expected_counts, expected_outputs, settings_of, write_numbers
from databases import new_target
from platforms import DEADLINE_S, Platform
from postgres_server import Server, own_server

from elspeth_dagster.landscape import catalogue
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import CatalogueLostError
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.patience import Patience
from elspeth_dagster.landscape.query import query

sys.path.insert(0, str(Path(__file__).parent))

from crash import undisturbed
from crash_cases import Case
from crash_yard import differing, laid_out, starting, state_of

pytestmark = pytest.mark.dagster_process

OUTAGES = int(os.environ.get("ELSPETH_OUTAGES", "3"))
AWAY_S = 1
TRANSACTIONS = 40
"""About as many does the small pipeline write in."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server() as started:
        yield started


@pytest.mark.parametrize(("pipeline", "shards"), [("appends", 1), ("joins", 2)])
def test_a_server_that_is_stopped_and_started_again_and_again(
    server: Server, tmp_path: Path, pipeline: str, shards: int
) -> None:
    case = Case(pipeline, shards, "elspeth", (), catalogue="postgresql")
    expected, effects = undisturbed(tmp_path / "undisturbed", case)
    step = effects / OUTAGES
    at = " ".join(str(round(step * (number + 0.5))) for number in range(OUTAGES))
    with laid_out(tmp_path / "disturbed", case, server.url) as yard:
        code, _ = yard.start(starting(case), at, str(server.outage(AWAY_S)))
        assert code == 0, yard.log
        assert differing(state_of(yard), expected) == []
        assert "could not be reached while" in yard.log
        assert "the catalogue is back after" in yard.log
        with yard.landscape() as landscape:
            logged = query(landscape, "SELECT count(*) AS n FROM phases GROUP BY attempt, node, status")
        assert set(logged["n"].to_pylist()) == {1}


@pytest.fixture
def settings(platform: Platform) -> Path:
    """A pipeline of four sinks whose plugin works."""
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED)
    return platform.write("pipelines/tariffs/settings.yaml", settings_of("output", chunk=20))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_server_that_stays_away_stops_the_run_and_a_resume_completes_it(
    server: Server, platform: Platform, settings: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(catalogue, "SERVER_LIMIT_S", 0.5)
    transaction, calls = Landscape.transaction, itertools.count()
    at = round(share * TRANSACTIONS)

    @contextmanager
    def stopping(self: Landscape) -> Iterator[Any]:
        with transaction(self) as connection:
            if next(calls) == at:
                server.stop()
            yield connection

    with new_target("postgresql", platform.root, server.url) as database:
        monkeypatch.setenv("ELSPETH_LANDSCAPE", database.url)
        monkeypatch.setenv("ELSPETH_SEGMENTS", "segments")
        location = Location.parse(database.url, segments=platform.path("segments"))
        Landscape.open(location).close()
        monkeypatch.setattr(Landscape, "transaction", stopping)
        try:
            stopped = platform.run(settings)
        finally:
            server.start()
        assert stopped.code == 1
        assert f"the catalogue at {location}" in stopped.err
        assert "elspeth resume" in stopped.err
        known = platform.runs()
        assert (len(known), share > 0) in {(1, True), (0, False)}
        done = platform.resume(known[0]["run_id"]) if known else platform.run(settings)
        assert done.code == 0, done.err
        assert platform.outputs() == expected_outputs()
        assert counts(done.json) == expected_counts()


def test_every_transaction_may_lose_its_answer(
    platform: Platform, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three transactions of a thread one is committed and seems lost, one is lost, one is left alone."""
    begin, calls, of_thread = Landscape._begin, itertools.count(), threading.local()

    @contextmanager
    def losing(self: Landscape, *, read_only: bool) -> Iterator[Any]:
        next(calls)
        of_thread.calls = getattr(of_thread, "calls", -1) + 1
        kind = of_thread.calls % 3
        lost = CatalogueLostError("here", "reading" if read_only else "writing", "the connection is lost")
        with begin(self, read_only=read_only) as connection:
            yield connection
            if kind == 1:
                raise lost
        if kind == 2:
            raise lost

    monkeypatch.setattr(
        catalogue, "Patience", lambda _limit_s, say: Patience(DEADLINE_S, say, pause=lambda _seconds: None)
    )
    platform.write("pipelines/tariffs/plugins/brittle.py", RAISES)
    monkeypatch.setattr(Landscape, "_begin", losing)
    failed = platform.run(settings)
    assert failed.json["status"] == "failed"
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED)
    done = platform.resume(failed.json["run_id"])
    monkeypatch.undo()

    assert next(calls) > 100
    assert done.code == 0, done.err
    assert platform.outputs() == expected_outputs()
    assert counts(done.json) == expected_counts()
    assert platform.sql("SELECT attempt FROM phases GROUP BY attempt, node, status HAVING count(*) > 1") == []
    assert [row["status"] for row in platform.sql("SELECT status FROM attempts ORDER BY number")] == [
        "failed",
        "completed",
    ]
