"""Sinks that take what others refuse come behind them, whatever Dagster was told to run."""

from typing import Any

import pytest
from model.engine import workshop

from elspeth_dagster.engine.compiling import record_graph
from elspeth_dagster.engine.errors import IncompleteError
from elspeth_dagster.engine.finish import check_run, seal_run
from elspeth_dagster.engine.load import load_source
from elspeth_dagster.engine.process import process_shard
from elspeth_dagster.engine.sinking import publish_sink_of
from elspeth_dagster.engine.work import Launch

SETTINGS: dict[str, Any] = {
    "source": {"plugin": "csv", "on_success": "first",
               "options": {"path": "in.csv", "on_validation_failure": "discard"}},
    "sinks": {
        "last": {"plugin": "json", "options": {"path": "out/last.jsonl"}},
        "first": {"plugin": "csv", "on_write_failure": "last",
                  "options": {"path": "out/first.csv", "encoding": "ascii"}},
    },
}  # fmt: skip


def test_a_sink_is_not_published_before_one_whose_refusals_it_takes() -> None:
    with workshop() as shop:
        shop.write("in.csv", "name\nplain\né\n€\n".encode())
        compiled = shop.compile(SETTINGS)
        work = shop.begin(compiled, Launch(str(compiled.settings.path)))
        record_graph(work)
        load_source(work)
        process_shard(work, stage=0, shard=0, shards=1)
        check_run(work)
        with pytest.raises(IncompleteError, match="'first' refuses, which is not published"):
            publish_sink_of(work, "last")
        delivered = [publish_sink_of(work, sink).rows for sink in ("first", "last")]
        counts = seal_run(work)
    assert delivered == [1, 2]
    assert counts.rows_in == 3
