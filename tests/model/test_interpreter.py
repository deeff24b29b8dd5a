"""The model itself, on examples small enough to be worked out by hand from the settings reference."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from model.interpreter import Model, interpret, token_text

SOURCE = {
    "plugin": "json",
    "on_success": "rows",
    "options": {"path": "in.jsonl", "on_validation_failure": "discard"},
}


def sinks(*names: str) -> dict[str, Any]:
    return {name: {"plugin": "json", "options": {"path": f"out/{name}.jsonl"}} for name in names}


def run(settings: Mapping[str, Any], *rows: Any, arrivals_us: tuple[int, ...] = ()) -> Model:
    data = "\n".join(map(json.dumps, rows)).encode()
    model = interpret({"source": SOURCE, **settings}, data, arrivals_us=arrivals_us)
    _assert_balanced(model)
    return model


def _assert_balanced(model: Model) -> None:
    sides: Counter[tuple[str, str]] = Counter()
    for (node, measure, _, _), count in model.tallies.items():
        sides[node, measure] += count
    for node in {node for node, _ in sides}:
        came = sides[node, "in"] + sides[node, "created"]
        assert came == sides[node, "out"] + sides[node, "ended"], node
    created = sum(count for (_, measure), count in sides.items() if measure == "created")
    assert created == len(model.outcomes)


def lines(model: Model, sink: str) -> list[Any]:
    return [json.loads(line) for line in model.sinks[sink].content.splitlines()]


def endings(model: Model) -> dict[str, tuple[str, str | None]]:
    return {token_text(token): ending for token, ending in sorted(model.outcomes.items())}


def fork(*branches: str, condition: str = "True") -> dict[str, Any]:
    routes = {"true": "fork", "false": "other"}
    return {
        "name": "split",
        "input": "rows",
        "condition": condition,
        "routes": routes,
        "fork_to": list(branches),
    }


def mapper(connection: str, to: str, mapping: dict[str, str], *, strict: bool = False) -> dict[str, Any]:
    return {
        "name": f"map_{connection}", "plugin": "field_mapper", "input": connection, "on_success": to,
        "on_error": "bad", "options": {"mapping": mapping, "strict": strict},
    }  # fmt: skip


def joining(merge: str = "union", policy: str = "require_all", **more: Any) -> dict[str, Any]:
    """Two branches: `left` renames x to l and needs it, `right` is direct."""
    point = {
        "name": "whole", "branches": {"left": "lefts", "right": "right"}, "on_success": "out",
        "merge": merge, "policy": policy, **more,
    }  # fmt: skip
    return {
        "gates": [fork("left", "right")],
        "transforms": [mapper("left", "lefts", {"x": "l"}, strict=True)],
        "coalesce": [point],
        "sinks": sinks("out", "bad", "other"),
    }


def test_children_of_a_fork_end_completed_at_their_sinks() -> None:
    gates = [fork("one", "two", condition="row['x'] > 1")]
    model = run({"gates": gates, "sinks": sinks("one", "two", "other")}, {"x": 2}, {"x": 1})
    assert endings(model) == {
        "0": ("forked", None),
        "0/fork:0": ("completed", "one"),
        "0/fork:1": ("completed", "two"),
        "1": ("routed", "other"),
    }
    assert lines(model, "two") == [{"x": 2}]


def test_a_branch_may_be_a_chain_that_ends_in_a_sink() -> None:
    settings = {
        "gates": [fork("one", "chain")],
        "transforms": [mapper("chain", "two", {"x": "y"})],
        "sinks": sinks("one", "two", "other", "bad"),
    }
    assert lines(run(settings, {"x": 1}), "two") == [{"y": 1}]


def test_a_union_takes_keys_in_the_order_of_branches_and_the_later_ones_values() -> None:
    model = run(joining(), {"x": 1, "s": "a"})
    assert lines(model, "out") == [{"s": "a", "l": 1, "x": 1}]
    assert endings(model) == {
        "0": ("forked", None),
        "0/fork:0": ("coalesced", None),
        "0/fork:1": ("coalesced", None),
        "0/merge:0": ("completed", "out"),
    }
    assert model.parents[0, ((3, 0),)] == [(0, ((1, 0),)), (0, ((1, 1),))]


def test_other_merges() -> None:
    assert lines(run(joining("nested"), {"x": 1}), "out") == [{"left": {"l": 1}, "right": {"x": 1}}]
    assert lines(run(joining("select", select_branch="right"), {"x": 1}), "out") == [{"x": 1}]


@pytest.mark.parametrize(
    ("policy", "more", "rows", "sibling"),
    [
        ("require_all", {}, [], "failed"),
        ("best_effort", {"timeout_seconds": 1}, [{"y": 1}], "coalesced"),
        ("first", {}, [{"y": 1}], "coalesced"),
        ("quorum", {"quorum_count": 1}, [{"y": 1}], "coalesced"),
        ("quorum", {"quorum_count": 2}, [], "failed"),
    ],
)
def test_a_lost_branch(policy: str, more: dict[str, Any], rows: list[Any], sibling: str) -> None:
    model = run(joining("union", policy, **more), {"y": 1})
    assert lines(model, "out") == rows
    assert endings(model)["0/fork:0"] == ("quarantined", "bad")
    assert endings(model)["0/fork:1"] == (sibling, None)


def test_first_takes_one_branch_and_the_late_ones_are_superseded() -> None:
    model = run(joining("union", "first"), {"x": 1})
    assert lines(model, "out") == [{"l": 1}]
    assert endings(model)["0/fork:1"] == ("coalesced", None)


def test_a_selected_branch_that_is_not_taken_fails_the_join() -> None:
    model = run(joining("select", "first", select_branch="right"), {"x": 1})
    assert [ending[0] for ending in endings(model).values()] == ["forked", "failed", "failed"]


def test_nested_forks_join_by_what_entered_the_outer_gate() -> None:
    inner = {
        "name": "again", "input": "b", "condition": "row['x'] > 1",
        "routes": {"true": "fork", "false": "other"}, "fork_to": ["c", "d"],
    }  # fmt: skip
    point = {"name": "whole", "branches": ["a", "c", "d"], "on_success": "out", "merge": "nested"}
    settings = {"gates": [fork("a", "b"), inner], "coalesce": [point], "sinks": sinks("out", "other")}
    model = run(settings, {"x": 2}, {"x": 1})
    assert lines(model, "out") == [{"a": {"x": 2}, "c": {"x": 2}, "d": {"x": 2}}]
    assert endings(model)["0/fork:1/fork:0"] == ("coalesced", None)
    assert endings(model)["1/fork:0"] == ("failed", None)
    assert endings(model)["1/fork:1"] == ("routed", "other")


def test_a_join_without_sink_feeds_the_connection_of_its_name() -> None:
    settings = joining()
    del settings["coalesce"][0]["on_success"]
    settings["transforms"].append({**mapper("whole", "out", {"s": "t"}), "name": "behind"})
    assert lines(run(settings, {"x": 1, "s": 2}), "out") == [{"l": 1, "x": 1, "t": 2}]


def test_an_explode_makes_a_token_of_each_element() -> None:
    options = {"array_field": "l"}
    node = {
        "name": "each", "plugin": "json_explode", "input": "rows", "on_success": "out", "on_error": "bad",
        "options": options,
    }  # fmt: skip
    bad = [{"l": []}, {"l": None}, {"k": 1}, {"l": [1], "item": 2}]
    model = run({"transforms": [node], "sinks": sinks("out", "bad")}, {"l": [7, 8], "k": 1}, *bad)
    assert lines(model, "out") == [{"k": 1, "item": 7, "item_index": 0}, {"k": 1, "item": 8, "item_index": 1}]
    assert lines(model, "bad") == bad
    assert endings(model)["0"] == ("expanded", None)
    assert endings(model)["0/explode:1"] == ("completed", "out")


def aggregation(plugin: str, trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
    options = more.pop("options", {"value_field": "v"} if plugin == "batch_stats" else {})
    node = {
        "name": "sum", "plugin": plugin, "input": "rows", "on_success": "out", "on_error": "bad",
        "trigger": trigger, "options": options, **more,
    }  # fmt: skip
    return {"aggregations": [node], "sinks": sinks("out", "bad")}


def test_batches_by_count_and_the_rest_at_the_end() -> None:
    model = run(aggregation("batch_stats", {"count": 2}), {"v": 1}, {"v": 2}, {"v": 0.5})
    shared = {"skipped_non_finite": 0}
    assert lines(model, "out") == [
        {"count": 2, "sum": 3, "batch_size": 2, "mean": 1.5, **shared},
        {"count": 1, "sum": 0.5, "batch_size": 1, "mean": 0.5, **shared},
    ]
    assert endings(model) == {
        "0": ("consumed_in_batch", None),
        "1": ("consumed_in_batch", None),
        "1/batch:0": ("completed", "out"),
        "2": ("consumed_in_batch", None),
        "2/batch:0": ("completed", "out"),
    }


def test_members_with_odd_values_take_on_error_and_groups_come_by_first_appearance() -> None:
    options = {"value_field": "v", "group_by": "k", "compute_mean": False}
    rows = [
        {"v": 1, "k": "b"},
        {"v": None, "k": "b"},
        {"v": 2, "k": "a"},
        {"v": 3, "k": "b"},
        {"k": "a"},
    ]
    model = run(aggregation("batch_stats", {"count": 9}, options=options), *rows)
    assert [(row["k"], row["sum"]) for row in lines(model, "out")] == [("b", 4), ("a", 2)]
    assert lines(model, "bad") == [rows[1], rows[4]]


def test_a_late_token_does_not_join_the_batch_that_timed_out() -> None:
    trigger = {"timeout_seconds": 1}
    rows = [{"v": 1}, {"v": 2}, {"v": 4}]
    model = run(aggregation("batch_stats", trigger), *rows, arrivals_us=(0, 500_000, 1_000_000))
    assert [row["sum"] for row in lines(model, "out")] == [3, 4]
    assert endings(model)["0/batch:0"] == ("completed", "out")


def test_a_condition_fires_on_arrival() -> None:
    trigger = {"condition": "row['batch_count'] >= 2"}
    model = run(aggregation("batch_stats", trigger), {"v": 1}, {"v": 2}, {"v": 4})
    assert endings(model)["1/batch:0"] == ("completed", "out")


def test_copies() -> None:
    model = run(
        aggregation("batch_replicate", {"count": 9}), {"copies": 2}, {"copies": 0}, {"a": 1}, {"copies": 1.5}
    )
    assert lines(model, "out") == [
        {"copies": 2, "copy_index": 0},
        {"copies": 2, "copy_index": 1},
        {"a": 1, "copy_index": 0},
    ]
    assert lines(model, "bad") == [{"copies": 0}, {"copies": 1.5}]


def test_a_batch_with_another_number_of_rows_than_expected_fails() -> None:
    model = run(
        aggregation("batch_replicate", {"count": 2}, expected_output_count=3), {"copies": 1}, {"copies": 1}
    )
    assert lines(model, "out") == []
    assert lines(model, "bad") == [{"copies": 1}, {"copies": 1}]


def test_passing_through_keeps_the_tokens() -> None:
    model = run(aggregation("batch_replicate", {"count": 2}, output_mode="passthrough"), {"a": 1}, {"a": 2})
    assert endings(model) == {"0": ("completed", "out"), "1": ("completed", "out")}
