"""Random pipelines of the whole graph: nested forks and joins, explodes, batches, over JSON records."""

import json
from itertools import accumulate, count
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from model.cases import Case

_TEXTS = st.sampled_from(["", "a", "bb", "ccc", "é✓", "long text"])
_NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 2.5, 10**20])
_LISTS = st.lists(st.sampled_from([1, "x", None, {"k": 1}, [2]]), max_size=3)
_WAITS = st.sampled_from([0, 0, 1, 2, 3, 4, 5, 9, -1, -2, -4])
"""How long a call takes (µs), negative when it comes to nothing; timeouts and gaps are of the same size."""
_TIMEOUTS = st.sampled_from([0.000001, 0.000002, 0.000003, 0.000005, 3600])
_GAPS = st.sampled_from([0, 0, 1, 2, 5])
_ODD = st.sampled_from([None, "odd", True, [1], {"z": 1}])


class _Builder:
    """Adds nodes to a pipeline, each reading the connection that the one before it publishes."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw
        self.numbers = count()
        self.transforms: list[dict[str, Any]] = []
        self.gates: list[dict[str, Any]] = []
        self.aggregations: list[dict[str, Any]] = []
        self.joins: list[dict[str, Any]] = []
        self.sinks: dict[str, Any] = {}
        self.sink("bad")

    def name(self, kind: str) -> str:
        return f"{kind}{next(self.numbers)}"

    def sink(self, name: str | None = None) -> str:
        name = name or self.name("sink")
        suffix = self.draw(st.sampled_from(["jsonl", "json", "csv"]))
        plugin = "csv" if suffix == "csv" else "json"
        self.sinks[name] = {"plugin": plugin, "options": {"path": f"out/{name}.{suffix}"}}
        return name

    def failure(self) -> str:
        return self.draw(st.sampled_from(["bad", "discard"]))

    def transform(self, source: str) -> str:
        name, target = self.name("t"), self.name("c")
        plugin, options = self.draw(
            st.sampled_from(
                [
                    ("passthrough", {}),
                    ("truncate", {"fields": {"t": 2}, "strict": True}),
                    ("truncate", {"fields": {"t": 3}, "suffix": "~"}),
                    ("field_mapper", {"mapping": {"t": "u"}}),
                    ("field_mapper", {"mapping": {"n": "m", "t": "n"}}),
                    ("field_mapper", {"mapping": {"n": "n", "t": "t"}, "select_only": True}),
                    ("keyword_filter", {"fields": ["t"], "blocked_patterns": ["c+"]}),
                    ("asking", {"field": "w"}),
                    ("asking", {"field": "v"}),
                ]
            )
        )
        self.transforms.append(
            {
                "name": name, "plugin": plugin, "input": source, "on_success": target,
                "on_error": self.failure(), "options": options,
            }
        )  # fmt: skip
        return target

    def gate(self, source: str) -> str:
        """A gate that lets some rows go on and sends the others to a sink."""
        target = self.name("c")
        aside = self.sink()
        condition = self.draw(
            st.sampled_from(["row['n'] > 1", "row.get('n', 0) == 1", "'t' in row", "row['t'] == 'a'"])
        )
        routes = {"true": target, "false": aside}
        self.gates.append(
            {
                "name": self.name("g"), "input": source, "condition": condition, "routes": routes,
                "on_error": self.failure(),
            }
        )  # fmt: skip
        return target

    def explode(self, source: str) -> str:
        target = self.name("c")
        options = {"array_field": "l", "include_index": self.draw(st.booleans())}
        self.transforms.append(
            {
                "name": self.name("t"), "plugin": "json_explode", "input": source, "on_success": target,
                "on_error": self.failure(), "options": options,
            }
        )  # fmt: skip
        return target

    def aggregation(self, source: str) -> str:
        name = self.name("agg")
        plugin, options = self.draw(
            st.sampled_from(
                [
                    ("batch_stats", {"value_field": "n"}),
                    ("batch_stats", {"value_field": "n", "group_by": "t", "compute_mean": False}),
                    ("batch_replicate", {"copies_field": "n", "max_copies": 3}),
                    ("batch_replicate", {"copies_field": "absent", "default_copies": 2}),
                ]
            )
        )
        trigger = self.draw(
            st.sampled_from(
                [
                    {"count": 1},
                    {"count": 2},
                    {"count": 5},
                    {"condition": "row['batch_count'] >= 3"},
                    {"count": 4, "condition": "row['batch_count'] == 2"},
                    {"count": 1000},
                    {"timeout_seconds": 0.000002},
                    {"timeout_seconds": 0.000004, "count": 3},
                    {"condition": "row['batch_age_seconds'] >= 0.000003"},
                ]
            )
        )
        node = {
            "name": name, "plugin": plugin, "input": source, "on_error": self.failure(), "trigger": trigger,
            "options": options,
        }  # fmt: skip
        if self.draw(st.booleans()):
            node["expected_output_count"] = self.draw(st.integers(1, 4))
        self.aggregations.append(node)
        return name

    def fork(self, source: str, depth: int) -> str:
        """A fork whose branches meet again, and perhaps one that ends in a sink."""
        branches = [self.name("b") for _ in range(self.draw(st.integers(2, 3)))]
        condition, routes = self.draw(
            st.sampled_from(
                [("True", {}), ("row['n'] > 0", {"false": "bad"}), ("'t' in row", {"false": "bad"})]
            )
        )
        fork_to = list(branches)
        if self.draw(st.booleans()):
            fork_to.insert(self.draw(st.integers(0, len(fork_to))), self.sink())
        gate = {
            "name": self.name("g"), "input": source, "condition": condition,
            "routes": {"true": "fork", **routes}, "fork_to": fork_to, "on_error": self.failure(),
        }  # fmt: skip
        self.gates.append(gate)
        ways = {branch: self.branch(branch, depth) for branch in branches}
        order = self.draw(st.permutations(branches))
        join: dict[str, Any] = {
            "name": self.name("join"),
            "branches": {branch: ways[branch] for branch in order},
            "policy": self.draw(st.sampled_from(["require_all", "quorum", "best_effort", "first"])),
            "merge": self.draw(st.sampled_from(["union", "nested", "select"])),
        }
        if join["policy"] == "quorum":
            join["quorum_count"] = self.draw(st.integers(1, len(branches)))
        if join["policy"] == "best_effort" or self.draw(st.booleans()):
            join["timeout_seconds"] = self.draw(_TIMEOUTS)
        if join["merge"] == "select":
            join["select_branch"] = self.draw(st.sampled_from(branches))
        self.joins.append(join)
        return str(join["name"])

    def branch(self, source: str, depth: int) -> str:
        kinds = ["direct", "transform", "transforms", "gate"] + (["fork"] if depth else [])
        match self.draw(st.sampled_from(kinds)):
            case "transform":
                return self.transform(source)
            case "transforms":
                return self.transform(self.transform(source))
            case "gate":
                return self.gate(source)
            case "fork":
                return self.transform(self.fork(source, depth - 1))
        return source

    def settings(self, connection: str) -> dict[str, Any]:
        self.transforms.append(
            {
                "name": "last", "plugin": "passthrough", "input": connection,
                "on_success": self.sink("out"), "on_error": "discard",
            }
        )  # fmt: skip
        source = {
            "plugin": "arriving",
            "on_success": "start",
            "options": {
                "path": "in.jsonl",
                "on_validation_failure": "bad",
                "schema": {"mode": "observed"},
                "arrivals": list(accumulate(self.draw(st.lists(_GAPS, min_size=1, max_size=9)))),
            },
        }
        return {
            "source": source,
            "transforms": self.transforms,
            "gates": self.gates,
            "aggregations": self.aggregations,
            "coalesce": self.joins,
            "sinks": self.sinks,
        }


@st.composite
def graph_cases(draw: DrawFn) -> Case:
    """A pipeline with any kind of node, and records for it."""
    builder = _Builder(draw)
    connection = "start"
    for block in draw(
        st.lists(st.sampled_from(["fork", "explode", "aggregation", "transform", "gate"]), max_size=4)
    ):
        connection = builder.fork(connection, 1) if block == "fork" else getattr(builder, block)(connection)
    records = draw(st.lists(_record(), max_size=9))
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    return Case(
        settings=builder.settings(connection),
        data=data,
        chunk_rows=draw(st.sampled_from([None, 1, 2, 3, 7])),
        shards=draw(st.sampled_from([1, 2])),
        limit=None,
    )


@st.composite
def _record(draw: DrawFn) -> dict[str, Any]:
    record: dict[str, Any] = {"id": draw(st.integers(0, 9))}
    usually = {"n": _NUMBERS, "t": _TEXTS, "l": _LISTS, "w": _WAITS, "v": _WAITS}
    for key, usual in usually.items():
        kind = draw(st.sampled_from(["usual"] * 6 + ["odd", "absent"]))
        if kind != "absent":
            record[key] = draw(usual if kind == "usual" else _ODD)
    return record
