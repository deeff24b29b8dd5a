"""A batch larger than a chunk is folded in slices, with the outcome of the same batch in memory."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from model.engine import EngineRun, Workshop, workshop

from elspeth_dagster.engine import giant, process

ROWS = 23
END, COUNT = {"count": 1000}, {"count": ROWS}


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made


def settings(plugin: str, trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The members that are rejected and the rows that are made go into one file, whose order counts."""
    options = {"batch_stats": {"value_field": "v", "group_by": "g"}, "batch_replicate": {"copies_field": "v"}}
    aggregation = {
        "name": "sum", "plugin": plugin, "input": "rows", "on_success": "out", "on_error": "out",
        "trigger": trigger, "options": options[plugin], **more,
    }  # fmt: skip
    schema = {"mode": "fixed", "fields": ["v: any", "g: str"]}
    source = {"path": "in.jsonl", "on_validation_failure": "discard", "schema": schema}
    return {
        "source": {"plugin": "json", "on_success": "rows", "options": source},
        "aggregations": [aggregation],
        "sinks": {"out": {"plugin": "json", "options": {"path": "out/out.jsonl"}}},
        "checkpoint": {"frequency": "every_n", "checkpoint_interval": 4},
    }


def write_rows(shop: Workshop, values: list[Any]) -> None:
    rows = [{"v": value, "g": f"group {number % 3}"} for number, value in enumerate(values)]
    shop.write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


def both_ways(
    shop: Workshop, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], EngineRun]:
    """What is in the file, after a run in slices that was compared with one in memory."""
    sliced: list[int] = []

    def counted(self: giant.GiantBatch) -> Iterator[Any]:
        for swept in sweep(self):
            sliced.append(swept.rows_in)
            yield swept

    sweep = giant.GiantBatch.sweep
    monkeypatch.setattr(giant.GiantBatch, "sweep", counted)
    runs = []
    for in_slices in (True, False):
        if not in_slices:
            monkeypatch.setattr(process, "is_giant", lambda _batching, _rows: False)
        run = shop.run(shop.compile(document))
        runs.append((run, run.files["out"].read_bytes()))
        assert len(sliced) > 5
        assert sum(sliced) == ROWS
    (slices, content), (whole, expected) = runs
    assert content == expected
    assert everything(slices) == everything(whole)
    return [json.loads(line) for line in content.splitlines()], slices


def everything(run: EngineRun) -> EngineRun:
    """What must not depend on the slices."""
    states = {token: sorted(map(str, found)) for token, found in run.states.items()}
    return replace(run, run_id="", started_at="", files={}, artifacts={}, states=states)


MIXED = [1, 2.5, "x", 3, 10**30, None, 4, 0.1, 2, True] * 3


@pytest.mark.parametrize("trigger", [END, COUNT])
def test_sums_with_some_members_rejected(
    shop: Workshop, trigger: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(shop, MIXED[:ROWS])
    rows, run = both_ways(shop, settings("batch_stats", trigger), monkeypatch)
    made = [row for row in rows if "sum" in row]
    assert [row["g"] for row in made] == ["group 0", "group 1", "group 2"]
    assert (
        run.counts["consumed_in_batch"] == sum(row["batch_size"] for row in made) - run.counts["quarantined"]
    )
    assert run.counts["quarantined"] == 7
    assert run.counts["consumed_in_batch"] == ROWS - 7
    assert len(rows) == 3 + 7


@pytest.mark.parametrize("trigger", [END, COUNT])
def test_copies_come_where_their_member_was(
    shop: Workshop, trigger: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(shop, [2, "x", 3, 1, 0] * 4 + [1, 1, 1])
    rows, run = both_ways(shop, settings("batch_replicate", trigger), monkeypatch)
    assert sum("copy_index" in row for row in rows) == 4 * 6 + 3
    assert run.counts["quarantined"] == 8


def test_a_batch_of_nothing_usable(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(shop, ["x"] * ROWS)
    rows, run = both_ways(shop, settings("batch_stats", END), monkeypatch)
    assert [row["v"] for row in rows] == ["x"] * ROWS
    assert run.counts == {"quarantined": ROWS}


@pytest.mark.parametrize("trigger", [END, COUNT])
def test_a_batch_that_makes_more_than_it_may(
    shop: Workshop, trigger: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(shop, [2, "x", *[1] * (ROWS - 2)])
    document = settings("batch_stats", trigger, expected_output_count=2)
    rows, run = both_ways(shop, document, monkeypatch)
    assert len(rows) == ROWS
    assert run.counts == {"quarantined": ROWS}


def test_outputs_go_on_to_another_aggregation(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(shop, [2, 1, 3] * 7 + [1, 1])
    document = settings("batch_replicate", END, on_success="copies")
    second = {
        "name": "again", "plugin": "batch_stats", "input": "copies", "on_success": "out",
        "on_error": "discard", "trigger": {"count": 40}, "options": {"value_field": "copy_index"},
    }  # fmt: skip
    document["aggregations"].append(second)
    in_slices = shop.run(shop.compile(document))
    content = in_slices.files["out"].read_bytes()
    monkeypatch.setattr(process, "is_giant", lambda _batching, _rows: False)
    whole = shop.run(shop.compile(document))
    assert content == whole.files["out"].read_bytes()
    assert everything(in_slices) == everything(whole)
    assert [json.loads(line)["batch_size"] for line in content.splitlines()] == [40, 4]
