"""Forks, joins and explodes from the settings file to the record, read back with `elspeth sql`."""

from typing import Any

import pytest
from platforms import Platform
from whole_graphs import (
    completed,
    ends,
    fork,
    graph,
    ids,
    lines,
    numbered,
    reasons,
    refuse,
    stats,
)  # fmt: skip

BOTH_REFUSE = [refuse("left", "a", "lefts"), refuse("right", "b", "rights")]


def join(name: str = "joined", **rest: Any) -> dict[str, Any]:
    return {"name": name, "branches": {"a": "lefts", "b": "rights"}, "policy": "require_all",
            "merge": "union", "on_success": "out"} | rest  # fmt: skip


def forked_and_joined(platform: Platform, rows: list[dict[str, Any]], **rest: Any) -> Any:
    return graph(
        platform,
        rows,
        gates=[fork("split", "rows", "a", "b")],
        transforms=BOTH_REFUSE,
        coalesce=[join(**rest)],
    )


def test_a_join_of_which_every_branch_is_lost_makes_nothing_and_balances(platform: Platform) -> None:
    rows = numbered(3, left=[1], right=[1])

    outcomes = completed(
        platform, forked_and_joined(platform, rows, policy="best_effort", timeout_seconds=60)
    )

    assert outcomes == {"coalesced": 4, "completed": 2, "forked": 3, "quarantined": 2}
    assert ids(platform, "out") == [0, 2]
    assert lines(platform, "lost") == [rows[1], rows[1]]
    assert [end for end in ends(platform) if end[0].startswith("1")] == [
        ("1", "forked", "split"),
        ("1/fork:0", "quarantined", "lost"),
        ("1/fork:1", "quarantined", "lost"),
    ]


BEST = {"policy": "best_effort", "timeout_seconds": 60}
POLICIES = {
    "require_all": ({"policy": "require_all"}, ["left right"], 0, ["1/fork:0", "2/fork:1"]),
    "one needed": ({"policy": "quorum", "quorum_count": 1}, ["left", "left", "right"], 1, []),
    "two needed": (
        {"policy": "quorum", "quorum_count": 2},
        ["left right"],
        0,
        ["1/fork:0", "2/fork:1"],
    ),
    "first": ({"policy": "first"}, ["left", "left", "right"], 1, []),
    "best_effort": (BEST, ["left right", "left", "right"], 0, []),
    "select": (BEST | {"merge": "select", "select_branch": "a"}, ["left", "left"], 0, ["2/fork:1"]),
}


@pytest.mark.parametrize("what", POLICIES)
def test_each_policy_with_lost_branches(platform: Platform, what: str) -> None:
    """Row 0 keeps both branches, row 1 loses the right one, row 2 the left one, row 3 both."""
    policy, made, superseded, failed = POLICIES[what]
    rows = numbered(4, left=[2, 3], right=[1, 3])

    outcomes = completed(platform, forked_and_joined(platform, rows, **policy))

    assert outcomes == {
        name: count
        for name, count in {
            "coalesced": 4 - len(failed), "completed": len(made), "failed": len(failed), "forked": 4,
            "quarantined": 4,
        }.items()
        if count
    }  # fmt: skip
    assert [
        " ".join(key for key in ("left", "right") if key in row) for row in lines(platform, "out")
    ] == made
    assert [end for end in ends(platform) if end[1] == "failed"] == [
        (name, "failed", "joined") for name in failed
    ]
    late = platform.sql("SELECT token_text(token) AS name FROM states WHERE label = 'superseded'")
    assert [state["name"] for state in late] == ["0/fork:1"] * superseded


def test_first_and_quorum_join_what_comes_first_and_supersede_what_comes_later(platform: Platform) -> None:
    rows = numbered(3, left=[1])
    settings = graph(
        platform, rows,
        gates=[fork("split", "rows", "b", "a", "c")],
        transforms=[*BOTH_REFUSE, refuse("third", "c", "thirds")],
        coalesce=[{"name": "joined", "branches": {"a": "lefts", "b": "rights", "c": "thirds"},
                   "policy": "quorum", "quorum_count": 2, "merge": "nested", "on_success": "out"}],
    )  # fmt: skip

    assert completed(platform, settings) == {"coalesced": 8, "completed": 3, "forked": 3, "quarantined": 1}

    assert [sorted(row) for row in lines(platform, "out")] == [["a", "b"], ["b", "c"], ["a", "b"]]
    late = platform.sql(
        "SELECT token_text(token) AS name FROM states WHERE label = 'superseded' ORDER BY token"
    )
    assert [state["name"] for state in late] == ["0/fork:2", "2/fork:2"]
    parents = platform.sql(
        """SELECT list_transform(parents, lambda parent: token_text(parent)) AS parents
           FROM tokens WHERE created_by = 'joined' ORDER BY token"""
    )
    assert [sorted(token["parents"]) for token in parents] == [
        ["0/fork:0", "0/fork:1"], ["1/fork:0", "1/fork:2"], ["2/fork:0", "2/fork:1"],
    ]  # fmt: skip


def test_a_fork_of_which_one_branch_quarantines_keeps_the_other(platform: Platform) -> None:
    rows = numbered(4, left=[1, 3])
    settings = graph(
        platform, rows, sinks="out lost other",
        gates=[fork("split", "rows", "a", "other")], transforms=[refuse("left", "a", "out")],
    )  # fmt: skip

    assert completed(platform, settings) == {"completed": 6, "forked": 4, "quarantined": 2}

    assert (ids(platform, "out"), ids(platform, "lost"), ids(platform, "other")) == (
        [0, 2],
        [1, 3],
        [0, 1, 2, 3],
    )
    refused = {"reason": "refused", "by": "left"}
    assert reasons(platform) == [("1/fork:0", "left", refused), ("3/fork:0", "left", refused)]


def test_nested_forks_join_inside_out(platform: Platform) -> None:
    rows = numbered(4, inner_left=[1], right=[2])
    settings = graph(
        platform, rows,
        gates=[fork("outer", "rows", "a", "b"), fork("inner", "a", "c", "d")],
        transforms=[refuse("inner_left", "c", "cs"), refuse("right", "b", "rights")],
        coalesce=[
            {"name": "lefts", "branches": {"c": "cs", "d": "d"}, "policy": "require_all", "merge": "union"},
            join(),
        ],
    )  # fmt: skip

    outcomes = completed(platform, settings)

    assert ids(platform, "out") == [0, 3]
    assert outcomes == {"coalesced": 10, "completed": 2, "failed": 3, "forked": 8, "quarantined": 2}
    failed = [end for end in ends(platform) if end[1] == "failed"]
    assert [(name, node) for name, _, node in failed] == [
        ("1/fork:0/fork:1", "lefts"), ("1/fork:1", "joined"), ("2/fork:0/merge:0", "joined"),
    ]  # fmt: skip


def test_a_join_by_name_feeds_a_gate(platform: Platform) -> None:
    merged = join()
    del merged["on_success"]
    settings = graph(
        platform, numbered(5, right=[3]), sinks="out lost even",
        gates=[
            fork("split", "rows", "a", "b"),
            {"name": "parity", "input": "joined", "condition": "row['id'] % 2 == 0",
             "routes": {"true": "even", "false": "out"}},
        ],
        transforms=BOTH_REFUSE, coalesce=[merged],
    )  # fmt: skip

    outcomes = completed(platform, settings)

    assert outcomes == {"coalesced": 8, "failed": 1, "forked": 5, "quarantined": 1, "routed": 4}
    assert (ids(platform, "even"), ids(platform, "out")) == ([0, 2, 4], [1])


def test_lists_come_apart_and_what_holds_nothing_is_set_aside(platform: Platform) -> None:
    held = [[1, 2], [], ["x"], "text", None, {"a": 1}, [[]]]
    rows = [{"id": at, "items": items} for at, items in enumerate(held)] + [{"id": 7}]
    settings = graph(platform, rows, fields=("items: any?",), transforms=[
        {"name": "unpack", "plugin": "json_explode", "input": "rows", "on_success": "out", "on_error": "lost",
         "options": {"array_field": "items"}},
    ])  # fmt: skip

    outcomes = completed(platform, settings)

    assert lines(platform, "out") == [
        {"id": 0, "item": 1, "item_index": 0},
        {"id": 0, "item": 2, "item_index": 1},
        {"id": 2, "item": "x", "item_index": 0},
        {"id": 6, "item": [], "item_index": 0},
    ]
    assert lines(platform, "lost") == [{"items": None} | rows[at] for at in (1, 3, 4, 5, 7)]
    assert outcomes == {"completed": 4, "expanded": 3, "quarantined": 5}
    children = platform.sql(
        """SELECT token_text(token) AS name, token_text(parents[1]) AS parent FROM tokens
           WHERE created_by = 'unpack' ORDER BY token"""
    )
    assert [tuple(child.values()) for child in children] == [
        ("0/explode:0", "0"), ("0/explode:1", "0"), ("2/explode:0", "2"), ("6/explode:0", "6"),
    ]  # fmt: skip
    assert [name for name, _, _ in reasons(platform)] == ["1", "3", "4", "5", "7"]


IMPOSSIBLE = {
    "aggregation inside": (
        {"gates": [fork("split", "rows", "a", "b")], "transforms": [refuse("right", "b", "rights")],
         "aggregations": [stats("sums", "a", "lefts")], "coalesce": [join()]},
        ["coalesce[0].branches.a", "'sums'", "put it before 'split' or behind 'joined'"],
    ),
    "branch nobody forks": (
        {"gates": [fork("split", "rows", "a", "c")], "transforms": BOTH_REFUSE, "coalesce": [join()]},
        ["coalesce[0].branches.b: no gate forks the branch 'b'; a branch is an entry of a gate's fork_to"],
    ),
    "quorum above": (
        {"gates": [fork("split", "rows", "a", "b")], "transforms": BOTH_REFUSE,
         "coalesce": [join(policy="quorum", quorum_count=3)]},
        ["coalesce[0].quorum_count", "is 3, but there are only 2 branches; write a number from 1 to 2"],
    ),
    "unreachable": (
        {"transforms": [refuse("on", "rows", "out"), refuse("one", "circle", "round"),
                        refuse("two", "round", "circle")]},
        ["transforms[1]: rows would go round for ever: one -> two -> one; let one of them read or feed"],
    ),
    "no producer": (
        {"transforms": [refuse("on", "rows", "out"), refuse("one", "rowss", "lost")]},
        ["no row can reach 'one'", "transforms[1].input", "'rowss'; accepted: rows; did you mean 'rows'?"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_impossible_combinations_are_refused_and_the_message_says_what_to_write(
    platform: Platform, what: str
) -> None:
    sections, says = IMPOSSIBLE[what]
    settings = graph(platform, numbered(2), **sections)

    refused = platform.elspeth("run", settings)

    assert refused.code == 2
    for words in says:
        assert words in refused.err, refused.err
    assert not platform.path("landscape/catalogue.db").exists()
    assert platform.elspeth("validate", settings).code == 2
