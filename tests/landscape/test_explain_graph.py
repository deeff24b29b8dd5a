"""The story of a row that forks, is joined, and goes through batches of several chunks."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model.compare import with_chunks
from model.engine import EngineRun, Workshop, workshop
from opened_files import files_opened
from rich.console import Console

from elspeth_dagster.cli import story
from elspeth_dagster.engine.compiling import record_graph
from elspeth_dagster.engine.finish import check_run, require_checked, seal_run
from elspeth_dagster.engine.load import load_source
from elspeth_dagster.engine.plan import plan_stage
from elspeth_dagster.engine.process import process_shard
from elspeth_dagster.engine.sinking import publish_sink_of
from elspeth_dagster.engine.work import Launch, Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.explain import explain

ROWS = 40
RUDE, SMALL = 9, 1
GATE = "row['amount'] > 1"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made


def settings(chunk: int | None) -> Json:
    """Rows fork and are joined, or explode; sums of 3 joined rows each are summed up again by 2."""
    schema = {"mode": "observed"}
    gate = {
        "name": "size", "input": "read", "condition": GATE,
        "routes": {"true": "fork", "false": "little"}, "fork_to": ["plain", "seen"],
    }  # fmt: skip
    transforms = [
        {"name": "polite", "plugin": "keyword_filter", "input": "seen", "on_success": "clean",
         "on_error": "discard", "options": {"fields": "note", "blocked_patterns": ["rude"]}},
        {"name": "burst", "plugin": "json_explode", "input": "little", "on_success": "pieces",
         "on_error": "discard", "options": {"array_field": "list"}},
    ]  # fmt: skip
    join = {"name": "joined", "branches": {"plain": "plain", "seen": "clean"}}
    aggregations = [
        {"name": "first", "plugin": "batch_stats", "input": "joined", "on_success": "sums",
         "on_error": "discard", "trigger": {"count": 3}, "options": {"value_field": "amount"}},
        {"name": "second", "plugin": "batch_stats", "input": "sums", "on_success": "totals",
         "on_error": "discard", "trigger": {"count": 2}, "options": {"value_field": "sum"}},
        {"name": "copies", "plugin": "batch_replicate", "input": "pieces", "on_success": "out",
         "on_error": "discard", "trigger": {"count": 2}, "options": {"copies_field": "item"}},
    ]  # fmt: skip
    sinks = {name: {"plugin": "json", "options": {"path": f"out/{name}.jsonl"}} for name in ("totals", "out")}
    options = {"path": "in.jsonl", "on_validation_failure": "discard", "schema": schema}
    read = {"plugin": "json", "on_success": "read", "options": options}
    return with_chunks(
        {"source": read, "transforms": transforms, "gates": [gate], "coalesce": [join],
         "aggregations": aggregations, "sinks": sinks},
        chunk,
    )  # fmt: skip


def prepared(shop: Workshop, document: Json, rows: int = ROWS) -> Work:
    """A run whose source is read."""
    lines = [
        {"id": n, "amount": n, "note": "rude" if n == RUDE else "kind", "list": [1, 0, 2, 1, 1]}
        for n in range(rows)
    ]
    shop.write("in.jsonl", "\n".join(map(json.dumps, lines)).encode())
    work = shop.begin(shop.compile(document), Launch("settings.yaml", None, None))
    record_graph(work)
    load_source(work)
    return work


def processed(work: Work, stage: int) -> None:
    if work.compiled.graph.aggregation_of(stage) is not None:
        plan_stage(work, stage)
    process_shard(work, stage=stage, shard=0, shards=1)


def finished(shop: Workshop, work: Work) -> EngineRun:
    for stage in work.compiled.graph.stages:
        processed(work, stage)
    check_run(work)
    require_checked(work)
    for sink in work.compiled.graph.sinks:
        publish_sink_of(work, sink)
    counts = seal_run(work)
    return shop.recorded(work, counts.rows_in, counts.outcomes)


@pytest.fixture(scope="module")
def run(shop: Workshop) -> EngineRun:
    return finished(shop, prepared(shop, settings(4)))


def told(shop: Workshop, run_id: str, row: int) -> Json:
    answer: Json = json.loads(json.dumps(explain(shop.landscape, run_id, row).to_json()))
    return answer


@pytest.mark.parametrize("chunk", [1, 2, 7, None])
def test_every_token_is_told_as_the_whole_record_has_it(shop: Workshop, chunk: int | None) -> None:
    run = finished(shop, prepared(shop, settings(chunk)))

    stories = [explain(shop.landscape, run.run_id, row) for row in range(run.rows_in)]

    tokens = {token.token_id: token for told in stories for token in told.tokens}
    outcomes = {name: (token.outcome.outcome, token.outcome.sink) for name, token in tokens.items()}
    assert outcomes == run.outcomes
    for name, token in tokens.items():
        recorded = [(s["node"], s["status"], s["input"], s["output"]) for s in run.states[name]]
        assert [(s.node, s.status, s.input_hash, s.output_hash) for s in token.states] == recorded
        in_batch = [state.node for state in token.states if state.batch is not None]
        assert in_batch == [s.node for s in token.states if s.node in ("first", "second", "copies")]
    errors = [(e["token_id"], e["node"], e["kind"]) for told in stories for e in told.row.errors]
    assert sorted(errors) == run.errors
    consumed = [
        state for token in tokens.values() for state in token.states if state.batch and state.batch.made
    ]
    assert len(consumed) > ROWS
    for state in consumed:
        assert state.batch is not None
        came_of = [
            name for name, token in tokens.items()
            if (made := token.states[0]).node == state.node
            and made.batch is not None
            and made.input_hash is None
            and made.batch.number == state.batch.number
        ]  # fmt: skip
        assert [made.token_id for made in state.batch.made or ()] == came_of
        assert all(made.outcome == tokens[made.token_id].outcome for made in state.batch.made or ())


def test_a_member_says_what_its_batch_made_and_where_that_is_told(shop: Workshop, run: EngineRun) -> None:
    answer = told(shop, run.run_id, 6)

    (state,) = (state for token in answer["tokens"] for state in token["states"] if "made" in state)
    (made,) = state["made"]
    assert (state["members"], made["token_id"], made["row"]) == (3, "7/merge:0/batch:0", 7)
    assert made["outcome"]["outcome"] == "consumed_in_batch"
    text = drawn(shop, run, 6)
    assert f"which made 1 token, told by: elspeth explain {run.run_id} 7" in text
    assert "7/merge:0/batch:0: ended consumed_in_batch" in text


def test_branches_join_and_batches_follow_one_another(shop: Workshop, run: EngineRun) -> None:
    answer = told(shop, run.run_id, 7)

    tokens = {token["token_id"]: token for token in answer["tokens"]}
    members = ["7", "7/fork:0", "7/fork:1", "7/merge:0", "7/merge:0/batch:0", "7/merge:0/batch:0/batch:0"]
    assert list(tokens) == members
    assert [tokens[name]["outcome"]["outcome"] for name in members] == [
        "forked", "coalesced", "coalesced", "consumed_in_batch", "consumed_in_batch", "completed",
    ]  # fmt: skip
    assert [tokens[name]["parents"] for name in members] == [
        [], ["7"], ["7"], ["7/fork:0", "7/fork:1"], ["7/merge:0"], ["7/merge:0/batch:0"],
    ]  # fmt: skip
    decision = {"condition": GATE, "read": {"amount": 7}}
    forked = {"node": "size", "label": "true", "to": None, "mode": None, "reason": decision}
    assert tokens["7"]["routes"][-1] == forked
    for name, branch, to in (("7/fork:0", "plain", "joined"), ("7/fork:1", "seen", "polite")):
        assert tokens[name]["branch"] == branch
        copied = {"node": "size", "label": branch, "to": to, "mode": "copy", "reason": decision}
        assert tokens[name]["routes"][0] == copied
    joined = {"branches": ["plain", "seen"], "clashes": ["id", "amount", "note", "list"]}
    assert tokens["7/merge:0"]["routes"][0]["reason"] == joined
    batches = [(s["node"], s["batch"]) for t in answer["tokens"] for s in t["states"] if "batch" in s]
    assert batches == [("first", 1), ("first", 1), ("second", 0), ("second", 0)]
    assert answer["row"]["status"] == "completed"


def test_a_copy_whose_sibling_is_lost_says_that_its_join_failed(shop: Workshop, run: EngineRun) -> None:
    answer = told(shop, run.run_id, RUDE)

    parent, plain, seen = answer["tokens"]
    reason = {"reason": "join_failed", "policy": "require_all", "branch": "plain"}
    assert plain["outcome"] == {"outcome": "failed", "sink": None, "uri": None, "reason": reason}
    assert seen["outcome"]["outcome"] == "quarantined"
    assert answer["row"]["status"] == "quarantined 1, failed 1"
    assert {error["node"] for error in answer["row"]["errors"]} == {"joined", "polite"}
    assert parent["outcome"]["reason"] == {"condition": GATE, "read": {"amount": RUDE}}


def test_an_exploded_row_has_batches_of_several_chunks(shop: Workshop, run: EngineRun) -> None:
    answer = told(shop, run.run_id, SMALL)

    tokens = {token["token_id"]: token for token in answer["tokens"]}
    batches = {
        name: state["batch"]
        for name, token in tokens.items()
        for state in token["states"]
        if "batch" in state and token["outcome"]["outcome"] != "completed"
    }
    assert tokens["1"]["outcome"]["outcome"] == "expanded"
    # Row 0 has the first five members; its own follow.
    assert batches == {f"1/explode:{n}": (5 + n) // 2 for n in range(5)}
    assert tokens["1/explode:1"]["outcome"]["outcome"] == "quarantined"
    assert tokens["1/explode:1"]["states"][-1]["batch"] == 3


def test_a_member_whose_batch_went_on_as_another_rows_token(shop: Workshop, run: EngineRun) -> None:
    answer = told(shop, run.run_id, 6)

    (state,) = (state for token in answer["tokens"] for state in token["states"] if "batch" in state)
    assert (state["node"], state["status"], state["batch"]) == ("first", "completed", 1)
    assert answer["row"]["status"] == "consumed_in_batch"


def test_a_token_that_is_passed_through_batches_goes_on_in_the_next_stage(shop: Workshop) -> None:
    gate = {
        "name": "twice", "input": "read", "condition": "True",
        "routes": {"true": "fork"}, "fork_to": ["one", "two"],
    }  # fmt: skip
    join = {"name": "earliest", "branches": ["one", "two"], "policy": "first"}
    same = {"plugin": "batch_replicate", "on_error": "discard", "output_mode": "passthrough"}
    options = {"include_copy_index": False}
    aggregations = [
        {"name": "pairs", "input": "earliest", "on_success": "paired", "trigger": {"count": 2}, **same,
         "options": options},
        {"name": "triples", "input": "paired", "on_success": "out", "trigger": {"count": 3}, **same,
         "options": options},
    ]  # fmt: skip
    document = settings(4) | {"gates": [gate], "coalesce": [join], "aggregations": aggregations}
    document |= {"transforms": [], "sinks": {"out": settings(4)["sinks"]["out"]}}

    run = finished(shop, prepared(shop, document))

    parent, one, two, merged = told(shop, run.run_id, 10)["tokens"]
    assert parent["outcome"]["outcome"] == "forked"
    assert [token["routes"][-1]["label"] for token in (one, two)] == ["coalesced", "superseded"]
    assert merged["parents"] == [one["token_id"]]
    passed = [(state["node"], state.get("batch")) for state in merged["states"]]
    assert passed == [("earliest", None), ("pairs", 5), ("triples", 3)]
    uri = str(shop.root / "out/out.jsonl")
    assert merged["outcome"] == {"outcome": "completed", "sink": "out", "uri": uri, "reason": None}


def test_a_story_grows_stage_by_stage(shop: Workshop) -> None:
    work = prepared(shop, settings(4))
    stages = work.compiled.graph.stages

    def of_merged() -> Json:
        found = {token["token_id"]: token for token in told(shop, work.run_id, 7)["tokens"]}
        merged: Json = found["7/merge:0"]
        return merged

    processed(work, stages[0])
    bound = of_merged()
    assert bound["routes"][-1]["to"] == "first"
    assert bound["outcome"] == {"outcome": None, "sink": None, "uri": None, "reason": None}
    graph = work.compiled.graph
    first = next(stage for stage in stages[1:] if graph.nodes["first"] is graph.aggregation_of(stage))
    plan_stage(work, first)
    assert of_merged() == bound

    process_shard(work, stage=first, shard=0, shards=1)

    assert of_merged()["outcome"]["outcome"] == "consumed_in_batch"
    tokens = told(shop, work.run_id, 7)["tokens"]
    assert tokens[-1]["token_id"] == "7/merge:0/batch:0"
    assert tokens[-1]["outcome"]["outcome"] is None
    assert told(shop, work.run_id, 7)["row"]["status"] == "in progress"


def test_only_the_chunks_that_a_row_is_in_are_opened(shop: Workshop) -> None:
    opened = {}
    for rows in (60, 300):
        run_id = finished(shop, prepared(shop, settings(3), rows)).run_id
        with files_opened(shop.landscape.location.segments / run_id) as opened[rows]:
            assert len(explain(shop.landscape, run_id, rows - 21).tokens) >= 4
        chunks = {
            (segment.node, segment.ordinal)
            for segment in reads.segments_of(shop.landscape, run_id)
            if Path(segment.path).name in opened[rows]
        }
        nodes = [node for node, _ in chunks]
        assert len(nodes) == len(set(nodes)), "one chunk of each stage"
        assert {"source", "stage_0", "plan_first"} <= set(nodes)
    assert len(opened[60]) == len(opened[300])


def drawn(shop: Workshop, run: EngineRun, row: int) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(story.tree(explain(shop.landscape, run.run_id, row)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_tree_says_batches_and_joins(shop: Workshop, run: EngineRun) -> None:
    text = drawn(shop, run, 7)

    words = [
        "completed (with what batches made of it and others)",
        "token 7\n", f"decided by {GATE}", "true → fork", "ended forked",
        "token 7/fork:0 on branch plain, made of 7",
        "plain → joined", "coalesced", "token 7/merge:0, made of 7/fork:0, 7/fork:1",
        "joined from plain, seen; fields that clashed: id, amount, note, list",
        "first (batch_stats) completed in batch 1 of first (count, 3 members)",
        "which made 1 token, told below", "7/merge:0/batch:0: ended consumed_in_batch",
        "ended consumed_in_batch",
        "token 7/merge:0/batch:0, made of a batch of 3 members",
        "first (batch_stats) completed from batch 1 of first (count, 3 members)",
        "second (batch_stats) completed in batch 0 of second (count, 2 members)",
        "ended completed in sink totals",
    ]  # fmt: skip
    place = 0
    for word in words:
        place = text.find(word, place)
        assert place >= 0, f"{word}\n{text}"
