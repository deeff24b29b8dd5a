"""The story of a row: all that is committed of it, at a cost that no other row adds to."""

import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from model.cases import Case, cases
from model.compare import with_chunks
from model.engine import EngineRun, Workshop, workshop
from opened_files import files_opened
from rich.console import Console
from sqlalchemy import event

from elspeth_dagster.cli import story
from elspeth_dagster.engine.compiling import record_graph
from elspeth_dagster.engine.finish import check_run
from elspeth_dagster.engine.load import load_source
from elspeth_dagster.engine.process import process_shard
from elspeth_dagster.engine.sinking import publish_sink_of
from elspeth_dagster.engine.work import Launch, Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import DamagedRecordError, NoSuchRunError
from elspeth_dagster.landscape.explain import NoSuchRowError, explain
from elspeth_dagster.plugins.sources.errors import SourceError
from elspeth_dagster.settings.errors import SettingsError

GATE = "row['amount'] > 100"
PLUGINS = {"source": "csv", "cut": "truncate", "polite": "keyword_filter", "large": "csv"}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made


def pipeline(source: Json, chunk: int = 7) -> Json:
    """Notes are cut and looked at, amounts part the rows; `large` cannot write every character."""
    transforms = [
        {"name": "cut", "plugin": "truncate", "input": "read", "on_success": "cut_notes",
         "on_error": "discard", "options": {"fields": {"note": 8}}},
        {"name": "polite", "plugin": "keyword_filter", "input": "cut_notes", "on_success": "clean",
         "on_error": "bad", "options": {"fields": "note", "blocked_patterns": ["rude"]}},
        {"name": "wave", "plugin": "passthrough", "input": "little", "on_success": "small",
         "on_error": "discard"},
    ]  # fmt: skip
    gate = {
        "name": "size", "input": "clean", "condition": GATE,
        "routes": {"true": "large", "false": "little"},
    }  # fmt: skip
    sinks = {
        "large": {"plugin": "csv", "options": {"path": "out/large.csv", "encoding": "latin-1"},
                  "on_write_failure": "late"},
        "small": {"plugin": "csv", "options": {"path": "out/small.csv", "encoding": "latin-1"}},
        "late": {"plugin": "json", "options": {"path": "out/late.jsonl"}},
        "bad": {"plugin": "json", "options": {"path": "out/bad.jsonl"}},
    }  # fmt: skip
    return with_chunks({"source": source, "transforms": transforms, "gates": [gate], "sinks": sinks}, chunk)


def source(plugin: str, path: str, failures: str = "bad") -> Json:
    schema = {"mode": "fixed", "fields": ["id: int", "amount: int", "note: str"]}
    options = {"path": path, "on_validation_failure": failures, "schema": schema}
    return {"plugin": plugin, "on_success": "read", "options": options}


LINES = [
    "0,5,plain",
    "1,500,plain",
    "2,x,plain",
    "3,5",
    "4,5,so rude",
    "5,500,10 € each",
    "6,5,10 € each",
    "7,500,much too long",
    *(f"{number},{number * 10},more" for number in range(8, 30)),
]
PLAIN, LARGE, NO_NUMBER, UNCUT, RUDE, REFUSED, FAILED, LONG = range(8)


@pytest.fixture(scope="module")
def run(shop: Workshop) -> EngineRun:
    shop.write("in.csv", ("Id,Amount,Note\n" + "\n".join(LINES) + "\n").encode())
    return shop.run(shop.compile(pipeline(source("csv", "in.csv"))))


@pytest.fixture(scope="module")
def told(shop: Workshop, run: EngineRun) -> Callable[[int], Json]:
    """The JSON of a row's story."""
    return lambda row: json.loads(json.dumps(explain(shop.landscape, run.run_id, row).to_json()))


def test_a_routed_row_has_exactly_this_shape(
    shop: Workshop, told: Callable[[int], Json], run: EngineRun
) -> None:
    answer = told(LARGE)

    states = run.states["1"]
    received, cut = states[0]["output"], states[1]["output"]
    arrived_at = answer["row"].pop("arrived_at")
    gate = {"condition": GATE, "read": {"amount": 500}}
    assert datetime.fromisoformat(arrived_at) >= datetime.fromisoformat(run.started_at)
    assert answer == {
        "run_id": run.run_id,
        "pipeline": reads.run(shop.landscape, run.run_id).pipeline,
        "run_status": "completed",
        "partition": None,
        "source_path": "in.csv",
        "stopped": None,
        "row": {
            "index": 1,
            "status": "routed",
            "source_hash": received,
            "data": {"id": "1", "amount": "500", "note": "plain"},
            "errors": [],
            "line": 3,
            "input": "in.csv",
        },
        "tokens": [
            {
                "token_id": "1",
                "parents": [],
                "branch": None,
                "states": [
                    state("source", None, received),
                    state("cut", received, cut),
                    state("polite", cut, cut),
                    state("size", cut, cut),
                ],
                "routes": [
                    route("source", "on_success", "cut"),
                    route("cut", "on_success", "polite"),
                    route("polite", "on_success", "size"),
                    route("size", "true", "large", reason=gate),
                ],
                "calls": [],
                "outcome": ending(shop, "routed", "large", gate),
            }
        ],
    }


def state(
    node: str, came_as: str | None, left_as: str | None, status: str = "completed", error: Any = None
) -> Json:
    return {
        "node": node, "plugin": PLUGINS.get(node), "try": 1, "status": status, "input_hash": came_as,
        "output_hash": left_as, "error": error,
    }  # fmt: skip


def ending(shop: Workshop, outcome: str, sink: str, reason: Any = None) -> Json:
    uri = str(shop.root / f"out/{sink}.{'csv' if sink in ('large', 'small') else 'jsonl'}")
    return {"outcome": outcome, "sink": sink, "uri": uri, "reason": reason}


def route(node: str, label: str, to: str | None, mode: str | None = "move", reason: Any = None) -> Json:
    return {"node": node, "label": label, "to": to, "mode": mode, "reason": reason}


def test_hashes_follow_the_row_as_it_changes(told: Callable[[int], Json]) -> None:
    answer = told(LONG)

    states = {state["node"]: state for state in answer["tokens"][0]["states"]}
    assert states["source"]["output_hash"] == answer["row"]["source_hash"] == states["cut"]["input_hash"]
    assert states["cut"]["input_hash"] != states["cut"]["output_hash"] == states["size"]["input_hash"]
    assert answer["row"]["data"]["note"] == "much too long"


def test_a_delivered_row_behind_a_transform_is_completed(shop: Workshop, told: Callable[[int], Json]) -> None:
    answer = told(PLAIN)

    assert answer["row"]["status"] == "completed"
    assert answer["tokens"][0]["outcome"] == ending(shop, "completed", "small")


def test_a_row_that_does_not_pass_the_boundary_says_why(shop: Workshop, told: Callable[[int], Json]) -> None:
    answer = told(NO_NUMBER)

    (token,), row = answer["tokens"], answer["row"]
    assert row["status"] == "quarantined"
    assert row["data"] == {"id": "2", "amount": "x", "note": "plain"}
    (error,) = row["errors"]
    assert (error["token_id"], error["node"], error["kind"]) == ("2", "source", "validation")
    assert "amount" in json.dumps(error["reason"])
    assert token["states"] == [state("source", None, row["source_hash"], "failed", error["reason"])]
    assert token["routes"] == [route("source", "on_validation_failure", "bad", "divert", error["reason"])]
    assert token["outcome"] == ending(shop, "quarantined", "bad", error["reason"])


def test_a_record_that_could_not_be_cut_is_shown_as_quarantined(told: Callable[[int], Json]) -> None:
    row = told(UNCUT)["row"]

    assert row["status"] == "quarantined"
    assert row["data"] == {"__raw_line__": "3,5", "__line_number__": 5, "__row_number__": 4}
    assert row["errors"][0]["reason"]["reason"] == "cell_count"


def test_a_row_that_a_transform_sets_aside(told: Callable[[int], Json]) -> None:
    answer = told(RUDE)

    (token,) = answer["tokens"]
    assert [state["node"] for state in token["states"]] == ["source", "cut", "polite"]
    assert token["states"][-1]["status"] == "failed"
    assert token["states"][-1]["error"] == token["outcome"]["reason"] == answer["row"]["errors"][0]["reason"]
    assert token["routes"][-1]["label"] == "on_error"
    assert (token["outcome"]["outcome"], token["outcome"]["sink"]) == ("quarantined", "bad")


def test_a_row_that_its_sink_refuses_goes_on_to_the_next(shop: Workshop, told: Callable[[int], Json]) -> None:
    answer = told(REFUSED)

    (token,) = answer["tokens"]
    reason = token["outcome"]["reason"]
    assert answer["row"]["status"] == "quarantined"
    assert token["routes"][-2]["to"] == "large"
    assert token["routes"][-1] == route("large", "on_write_failure", "late", "divert", reason)
    came_as = token["states"][-2]["output_hash"]
    assert token["states"][-1] == state("large", came_as, None, "failed", reason)
    assert token["outcome"] == ending(shop, "quarantined", "late", reason)
    assert answer["row"]["errors"] == [{"token_id": "5", "node": "large", "kind": "write", "reason": reason}]


def test_a_row_that_is_refused_for_good_is_failed(told: Callable[[int], Json]) -> None:
    answer = told(FAILED)

    (token,) = answer["tokens"]
    assert answer["row"]["status"] == "failed"
    assert token["routes"][-1]["to"] == "small"
    assert token["states"][-1]["node"] == "small"
    assert (token["outcome"]["outcome"], token["outcome"]["sink"]) == ("failed", None)
    assert token["outcome"]["reason"] == token["states"][-1]["error"]


def test_a_discarded_row_leads_nowhere(shop: Workshop) -> None:
    shop.write("few.csv", b"id,amount,note\n1,x,a\n")
    run = shop.run(shop.compile(pipeline(source("csv", "few.csv", "discard"))))

    (token,) = explain(shop.landscape, run.run_id, 0).to_json()["tokens"]

    assert token["routes"][0]["label"] == "on_validation_failure"
    assert (token["routes"][0]["to"], token["routes"][0]["mode"]) == (None, None)
    assert (token["outcome"]["outcome"], token["outcome"]["sink"]) == ("quarantined", None)


def test_json_records_are_shown_as_received(shop: Workshop) -> None:
    lines = [
        '{"note": "a", "id": 12345678901234567890123, "amount": 1.0}',
        '{"id": 1e999}',
        "[1, 2]",
        "{not json",
    ]
    shop.write("in.jsonl", "\n".join(lines).encode())
    run = shop.run(shop.compile(pipeline(source("json", "in.jsonl"))))

    data = [explain(shop.landscape, run.run_id, row).row.data for row in range(4)]

    assert list(data[0].items()) == [("note", "a"), ("id", 12345678901234567890123), ("amount", 1.0)]
    assert data[1] == {"__raw_line__": '{"id": 1e999}', "__line_number__": 2}
    assert data[2] == [1, 2]
    assert data[3] == {"__raw_line__": "{not json", "__line_number__": 4}


def begun(shop: Workshop, document: Json) -> Work:
    """A run whose source is read."""
    work = shop.begin(shop.compile(document), Launch("settings.yaml", None, None))
    record_graph(work)
    load_source(work)
    return work


def test_a_story_grows_with_what_is_committed(shop: Workshop) -> None:
    shop.write("in.csv", ("Id,Amount,Note\n" + "\n".join(LINES) + "\n").encode())
    work = begun(shop, pipeline(source("csv", "in.csv")))

    def told(row: int) -> Json:
        return explain(shop.landscape, work.run_id, row).to_json()

    read = told(REFUSED)
    assert read["row"]["status"] == "in progress"
    assert read["row"]["data"]["note"] == "10 € each"
    assert (read["row"]["source_hash"], read["tokens"]) == (None, [])

    process_shard(work, stage=0, shard=0, shards=2)
    assert told(9)["tokens"] == [], "its chunk is the other shard's"
    bound = told(REFUSED)
    assert bound["row"]["status"] == "in progress"
    assert bound["tokens"][0]["routes"][-1]["to"] == "large"
    assert bound["tokens"][0]["outcome"]["outcome"] is None
    assert bound["tokens"][0]["outcome"]["sink"] == "large"
    process_shard(work, stage=0, shard=1, shards=2)
    check_run(work)

    publish_sink_of(work, "large")
    assert told(LARGE)["row"]["status"] == "routed"
    refused = told(REFUSED)
    assert refused["tokens"][0]["states"][-1]["node"] == "large"
    assert (refused["row"]["status"], refused["tokens"][0]["outcome"]["sink"]) == ("in progress", "late")

    publish_sink_of(work, "late")
    assert told(REFUSED)["row"]["status"] == "quarantined"


def test_arrival_is_on_the_runs_own_clock(shop: Workshop, run: EngineRun) -> None:
    segments = reads.segments_of(shop.landscape, run.run_id, table="records")
    clock = [us for s in segments for us in reads.read_segment(shop.landscape, s)["arrived_us"].to_pylist()]
    began = reads.run(shop.landscape, run.run_id).created_at

    found = [explain(shop.landscape, run.run_id, row).row.arrived_at for row in range(len(LINES))]

    assert found == [(began + timedelta(microseconds=us)).isoformat() for us in clock]


@pytest.mark.parametrize("row", [-1, len(LINES), 2**70])
def test_no_such_row_names_those_that_exist(shop: Workshop, run: EngineRun, row: int) -> None:
    with pytest.raises(NoSuchRowError, match=rf"has no row {row}: its rows are 0 to {len(LINES) - 1}$"):
        explain(shop.landscape, run.run_id, row)


def test_no_such_row_while_a_run_goes_on(shop: Workshop) -> None:
    shop.write("none.csv", b"id,amount,note\n")
    work = begun(shop, pipeline(source("csv", "none.csv")))

    with pytest.raises(NoSuchRowError, match="has no row 0: it has no rows so far"):
        explain(shop.landscape, work.run_id, 0)


def test_no_such_run(shop: Workshop) -> None:
    with pytest.raises(NoSuchRunError):
        explain(shop.landscape, "nobody", 0)


def test_a_damaged_segment_is_not_told_from(shop: Workshop) -> None:
    shop.write("few.csv", b"id,amount,note\n1,5,\xe2\x82\xac\n2,5,a\n")
    run = shop.run(shop.compile(pipeline(source("csv", "few.csv"))))
    for segment in reads.segments_of(shop.landscape, run.run_id):
        if segment.table_name in ("records", "tokens", "versions", "states", "refusals"):
            path = reads.file_of(shop.landscape, segment.path)
            content = path.read_bytes()
            path.write_bytes(content + b"!")
            with pytest.raises(DamagedRecordError, match=path.name):
                explain(shop.landscape, run.run_id, 0)
            path.unlink()
            with pytest.raises(DamagedRecordError, match=path.name):
                explain(shop.landscape, run.run_id, 0)
            path.write_bytes(content)
    explain(shop.landscape, run.run_id, 0)


def test_the_number_of_opened_files_does_not_grow_with_the_run(shop: Workshop) -> None:
    opened, steps = {}, {}
    for chunks in (10, 200):
        lines = [f"{number},500,{'€' if number % 7 == 3 else 'a'}" for number in range(7 * chunks)]
        shop.write("in.csv", ("id,amount,note\n" + "\n".join(lines) + "\n").encode())
        run_id = shop.run(shop.compile(pipeline(source("csv", "in.csv")))).run_id
        assert len(reads.chunks(shop.landscape, run_id, 0)) == chunks
        row = 7 * (chunks - 4) + 3
        with files_opened(shop.landscape.location.segments / run_id) as opened[chunks]:
            assert explain(shop.landscape, run_id, row).row.status == "quarantined"
        needed = [
            segment.path
            for segment in reads.segments_of(shop.landscape, run_id)
            if (segment.node == "large" and segment.table_name == "refusals")
            or (segment.node in ("source", "stage_0") and segment.ordinal == chunks - 4)
        ]  # fmt: skip
        assert sorted(opened[chunks]) == sorted(Path(path).name for path in needed)
        steps[chunks] = database_steps(shop, run_id, row)
    assert len(opened[10]) == len(opened[200]) == 5
    assert steps[200] < 2 * steps[10], "the catalogue is asked by key"


def database_steps(shop: Workshop, run_id: str, row: int) -> int:
    """How many instructions SQLite's machine carries out for the story of a row."""
    steps = itertools.count()

    def count(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(lambda: next(steps) * 0, 1)

    with Landscape.open(shop.landscape.location) as landscape:
        event.listen(landscape.engine, "checkout", count)
        explain(landscape, run_id, row)
    return next(steps)


@settings(
    max_examples=30,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(case=cases())
def test_every_row_of_any_run_is_told_as_the_whole_record_has_it(shop: Workshop, case: Case) -> None:
    path = case.settings["source"].get("options", {}).get("path")
    if path is not None:
        shop.write(path, case.data)
    try:
        compiled = shop.compile(with_chunks(case.settings, case.chunk_rows))
        run = shop.run(compiled, limit=case.limit)
    except (SettingsError, SourceError):
        assume(False)
    stories = [explain(shop.landscape, run.run_id, row) for row in range(run.rows_in)]

    tokens = {token.token_id: token for story in stories for token in story.tokens}
    outcomes = {name: (token.outcome.outcome, token.outcome.sink) for name, token in tokens.items()}
    assert outcomes == run.outcomes
    for name, token in tokens.items():
        recorded = [
            (state["node"], state["status"], state["input"], state["output"]) for state in run.states[name]
        ]
        told = [(s.node, s.status, s.input_hash, s.output_hash) for s in token.states]
        assert told[: len(recorded)] == recorded
    errors = [(e["token_id"], e["node"], e["kind"]) for story in stories for e in story.row.errors]
    assert sorted(errors) == run.errors
    json.dumps([story.to_json() for story in stories], allow_nan=False)


def test_the_tree_tells_the_story_in_order(shop: Workshop, run: EngineRun) -> None:
    text = drawn(shop, run, REFUSED)

    pipeline = reads.run(shop.landscape, run.run_id).pipeline
    words = [
        f"row 5 of {pipeline}, run {run.run_id}, in.csv: quarantined", "received 2", ", line 7 of in.csv",
        'note: "10 € each"', "token 5", "source (csv) completed", "on_success → cut",
        "cut (truncate) completed", "polite (keyword_filter) completed", "size completed",
        f"decided by {GATE}", "which read amount: 500", "true → large", "large (csv) failed",
        "because reason:", "on_write_failure → late",
        f"ended quarantined in sink late, {shop.root}/out/late.jsonl",
    ]  # fmt: skip
    places = [text.find(word) for word in words]
    assert -1 not in places, dict(zip(words, places, strict=True))
    assert places == sorted(places)


def drawn(shop: Workshop, run: EngineRun, row: int) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(story.tree(explain(shop.landscape, run.run_id, row)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_nothing_that_a_row_says_steers_the_terminal(shop: Workshop, run: EngineRun) -> None:
    explanation = explain(shop.landscape, run.run_id, PLAIN)
    hostile = "\x1b[2J\x9b2J\r\n[red]\u202e"
    row = replace(explanation.row, data={f"name{hostile}": hostile}, input=hostile)
    (token,) = explanation.tokens
    tokens = (replace(token, outcome=replace(token.outcome, uri=hostile)),)
    console = Console(width=200, file=io.StringIO())

    console.print(story.tree(replace(explanation, row=row, tokens=tokens)))

    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.count("[red]") == 4
