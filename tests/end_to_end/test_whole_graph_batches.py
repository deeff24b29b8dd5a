"""Aggregations from the settings file to the record, read back with `elspeth sql`."""

import json
from typing import Any

import pytest
from platforms import Platform
from whole_graphs import (
    balanced,
    batching,
    completed,
    ends,
    fork,
    formed,
    graph,
    ids,
    lines,
    numbered,
    reasons,
    refuse,
    stats,
)  # fmt: skip

OWN = '''
from elspeth_dagster.plugins import BatchError, BatchResult, BatchTransform


class Own(BatchTransform):
    """Does with a batch what its first id says."""

    def process(self, frame):
        WHAT
'''
SLOW = '''
import time

from elspeth_dagster.plugins import RowSource


class Slow(RowSource):
    """Records that come one after another, with a pause behind the third."""

    def read(self):
        for at in range(5):
            yield {"id": at}
            if at == 2:
                time.sleep(3)
'''


def own(platform: Platform, what: str) -> None:
    """Writes the plugin `own`, whose `process(self, frame)` is this."""
    platform.plugin("own", OWN.replace("WHAT", what))


def everything(platform: Platform, chunk: int, shards: int = 1) -> Any:
    """A pipeline with every kind of node, over rows of which each kind sets some aside."""
    rows = [row | {"items": [*range(row["id"] % 4)]} for row in numbered(14, left=[3, 11], right=[11, 12])]
    return graph(
        platform, rows, sinks="out lost joins", chunk=chunk,
        gates=[fork("split", "rows", "a", "b", "c")],
        transforms=[
            refuse("left", "a", "lefts"), refuse("right", "b", "rights"),
            {"name": "unpack", "plugin": "json_explode", "input": "c", "on_success": "items",
             "on_error": "lost", "options": {"array_field": "items"}},
        ],
        coalesce=[{"name": "joined", "branches": {"a": "lefts", "b": "rights"}, "policy": "quorum",
                   "quorum_count": 1, "merge": "nested", "on_success": "joins"}],
        aggregations=[
            batching("mean", "items", "means", "own", trigger={"count": 5}),
            stats("sums", "means", "out", "total", trigger={"count": 3}),
        ],
        dagster={"shards": shards},
    )  # fmt: skip


@pytest.mark.dagster_process
def test_bytes_and_counts_are_the_same_for_every_chunk_size_and_shards(platform: Platform) -> None:
    own(platform, 'return BatchResult(frame.assign(total=frame["item"].sum()).head(1)[["id", "total"]], '
                  'rejected=frame["id"] == 13)')  # fmt: skip
    told = []
    for chunk, shards in ((0, 1), (1, 1), (7, 1), (3, 3)):
        facts = platform.completed(everything(platform, chunk, shards), process=shards > 1)
        if shards > 1:
            steps = platform.sql(f"SELECT DISTINCT node FROM phases WHERE run_id = '{facts['run_id']}'")
            assert sum(step["node"].startswith("process_0_") for step in steps) == 3
        record = platform.sql(
            f"""SELECT token_text(token) AS name, outcome, sink, node FROM outcomes
                WHERE run_id = '{facts["run_id"]}' ORDER BY token"""
        )
        told.append((platform.outputs(), balanced(platform, facts)["outcomes"], record))

    assert all(one == told[0] for one in told)
    outputs, outcomes, _ = told[0]
    assert outcomes == {
        "coalesced": 24,
        "completed": 13 + 2,  # all but row 11 join; 4 batches of items come to 2 sums
        "consumed_in_batch": 18 + 4,
        "expanded": 10,
        "forked": 14,
        "quarantined": 4 + 4 + 1,  # in the branches, empty lists, the item of row 13
    }
    assert json.loads(outputs["joins.jsonl"].splitlines()[3]).keys() == {"b"}


SUM = 'return BatchResult(frame.assign(total=frame["id"].sum()).head(1))'
BREAKS = '''if 3 in list(frame["id"]):
            raise KeyError("no such thing")
        ''' + SUM  # fmt: skip


@pytest.mark.parametrize("chunk", [2, 0], ids=["small_chunks", "one_chunk"])
def test_a_batch_transform_that_raises_stops_the_run_and_mended_resumes_to_the_same_bytes(
    platform: Platform, chunk: int
) -> None:
    settings = graph(
        platform, numbered(7), chunk=chunk, aggregations=[batching("sums", "rows", "out", "own")]
    )
    own(platform, SUM)
    undisturbed = completed(platform, settings)
    wanted = platform.outputs()
    platform.write("output/out.jsonl", "")

    own(platform, BREAKS)
    stopped = platform.run(settings)

    assert stopped.code == 1
    error = stopped.json["error"]
    assert error["exception"] == "KeyError: 'no such thing'"
    for told in ("'sums'", "rows 2 to 3"):
        assert told in error["message"], error["message"]
    assert platform.read("output/out.jsonl") == b""

    own(platform, SUM)
    resumed = platform.resume(stopped.json["run_id"])
    assert resumed.code == 0, resumed.err
    assert platform.outputs() == wanted
    assert (
        balanced(platform, resumed.json)["outcomes"]
        == undisturbed
        == {"completed": 4, "consumed_in_batch": 7}
    )


TWICE = "return BatchResult(frame.loc[[*frame.index, *frame.index]] if 2 in list(frame['id']) else frame)"


@pytest.mark.parametrize(
    ("rule", "outcomes", "found"),
    [
        ({"output_mode": "passthrough"}, {"completed": 3, "quarantined": 2}, None),
        (
            {"expected_output_count": 2},
            {"completed": 2, "consumed_in_batch": 2, "quarantined": 3},
            {"reason": "unexpected_output_count", "expected": 2, "found": 4},
        ),
    ],
    ids=["passthrough", "expected_output_count"],
)
def test_a_batch_that_comes_to_too_many_rows_is_set_aside_whole(
    platform: Platform, rule: dict[str, Any], outcomes: dict[str, int], found: Any
) -> None:
    own(platform, TWICE)
    settings = graph(platform, numbered(5), aggregations=[batching("both", "rows", "out", "own", **rule)])

    assert completed(platform, settings) == outcomes

    is_short = found is not None
    assert ids(platform, "out") == ([0, 1] if is_short else [0, 1, 4])
    assert ids(platform, "lost") == ([2, 3, 4] if is_short else [2, 3])
    for _, node, reason in reasons(platform)[:2]:
        assert (node, reason["reason"]) == ("both", "batch_failed")
        assert found is None or reason["batch"] == found


@pytest.mark.parametrize("mode", ["transform", "passthrough"])
def test_members_rejected_by_mask_are_set_aside_and_the_rest_goes_on(platform: Platform, mode: str) -> None:
    own(platform, 'return BatchResult(frame.assign(size=len(frame)), rejected=frame["id"].isin([1, 4]), '
                  'reasons="odd " + frame["id"].astype(str))')  # fmt: skip
    back = mode == "passthrough"
    if not back:
        own(platform, 'bad = frame["id"].isin([1, 4])\n'
                      '        return BatchResult(frame[~bad].assign(size=len(frame)), rejected=bad, '
                      'reasons="odd " + frame["id"].astype(str))')  # fmt: skip
    settings = graph(platform, numbered(6), aggregations=[
        batching("sizes", "rows", "out", "own", output_mode=mode, trigger={"count": 4}),
    ])  # fmt: skip

    outcomes = completed(platform, settings)

    assert lines(platform, "out") == [{"id": at, "size": 4 if at < 4 else 2} for at in (0, 2, 3, 5)]
    assert ids(platform, "lost") == [1, 4]
    assert outcomes == {"completed": 4, "quarantined": 2} | ({} if back else {"consumed_in_batch": 4})
    assert [(name, reason["reason"]) for name, _, reason in reasons(platform)] == [
        ("1", "odd 1"),
        ("4", "odd 4"),
    ]
    if back:
        assert [name for name, _, _ in ends(platform)] == ["0", "1", "2", "3", "4", "5"]


def test_a_batch_that_the_plugin_gives_up_is_set_aside_whole(platform: Platform) -> None:
    own(
        platform,
        'return BatchError({"reason": "tired"}) if 2 in list(frame["id"]) else BatchResult(frame.head(0))',
    )
    settings = graph(platform, numbered(5), aggregations=[batching("none", "rows", "out", "own")])

    assert completed(platform, settings) == {"consumed_in_batch": 3, "quarantined": 2}

    assert (ids(platform, "out"), ids(platform, "lost")) == ([], [2, 3])
    tired = {"reason": "batch_failed", "batch": {"reason": "tired"}}
    assert reasons(platform) == [("2", "none", tired), ("3", "none", tired)]


def test_aggregations_behind_a_gate_and_in_two_branches_of_a_fork(platform: Platform) -> None:
    settings = graph(
        platform, numbered(9), sinks="lost low evens thirds",
        gates=[
            {"name": "size", "input": "rows", "condition": "row['id'] < 2",
             "routes": {"true": "few", "false": "split"}},
            fork("parts", "split", "a", "b"),
        ],
        aggregations=[
            stats("lows", "few", "low", trigger={"count": 5}),
            stats("twos", "a", "evens"),
            stats("threes", "b", "thirds", trigger={"count": 3}),
        ],
    )  # fmt: skip

    outcomes = completed(platform, settings)

    assert [row["sum"] for row in lines(platform, "low")] == [1]
    assert [row["sum"] for row in lines(platform, "evens")] == [5, 9, 13, 8]
    assert [row["sum"] for row in lines(platform, "thirds")] == [9, 18, 8]
    assert outcomes == {"completed": 8, "consumed_in_batch": 16, "forked": 7}
    assert formed(platform) == [
        ("lows", 0, 2, "end_of_source"),
        ("threes", 0, 3, "count"), ("threes", 1, 3, "count"), ("threes", 2, 1, "end_of_source"),
        ("twos", 0, 2, "count"), ("twos", 1, 2, "count"), ("twos", 2, 2, "count"),
        ("twos", 3, 1, "end_of_source"),
    ]  # fmt: skip


def test_an_aggregation_of_what_an_aggregation_made_then_a_fork(platform: Platform) -> None:
    settings = graph(
        platform, numbered(9), sinks="out lost other",
        aggregations=[stats("pairs", "rows", "paired"), stats("all", "paired", "totals", "sum")],
        gates=[fork("copies", "totals", "a", "other")],
        transforms=[{"name": "keep", "plugin": "passthrough", "input": "a", "on_success": "out",
                     "on_error": "lost"}],
    )  # fmt: skip

    outcomes = completed(platform, settings)

    assert [row["sum"] for row in lines(platform, "out")] == [1 + 5, 9 + 13, 8]
    assert lines(platform, "out") == lines(platform, "other")
    assert outcomes == {"completed": 6, "consumed_in_batch": 14, "forked": 3}
    made = platform.sql(
        "SELECT token_text(token) AS name, batch FROM tokens WHERE created_by = 'all' ORDER BY token"
    )
    assert [tuple(token.values()) for token in made] == [
        ("3/batch:0/batch:0", 0), ("7/batch:0/batch:0", 1), ("8/batch:0/batch:0", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("trigger", "wanted"),
    [
        ({"count": 3}, [(3, "count"), (2, "end_of_source")]),
        ({"condition": "row['batch_count'] >= 4"}, [(4, "condition"), (1, "end_of_source")]),
        ({"timeout_seconds": 1.5}, [(3, "timeout"), (2, "end_of_source")]),
        ({"condition": "row['batch_age_seconds'] > 1.5"}, [(3, "condition"), (2, "end_of_source")]),
        ({"count": 2, "timeout_seconds": 1.5}, [(2, "count"), (1, "timeout"), (2, "count")]),
    ],
    ids=["count", "condition", "timeout", "age", "count_and_timeout"],
)
def test_what_completes_a_batch(
    platform: Platform, trigger: dict[str, Any], wanted: list[tuple[int, str]]
) -> None:
    platform.plugin("slow", SLOW)
    settings = graph(
        platform, [], aggregations=[stats("sums", "rows", "out", trigger=trigger)],
        source={"plugin": "slow", "on_success": "rows", "options": {"on_validation_failure": "discard"}},
    )  # fmt: skip

    outcomes = completed(platform, settings)

    assert [(members, why) for _, _, members, why in formed(platform)] == wanted
    assert [row["batch_size"] for row in lines(platform, "out")] == [members for members, _ in wanted]
    assert outcomes == {"completed": len(wanted), "consumed_in_batch": 5}
