"""The reference model: what a settings file makes of some input, row by row over plain dicts.

Slow and obvious. It shares no code with the engine, knows no chunks, shards, commits or files, and is written
from the settings reference alone. A token is a row index and a path; every node takes the tokens that came to
it in token order, and hands them on one by one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model.boundary import Boundary, schema_of
from model.nodes import Originals, RowError, label, transform
from model.reading import read_records
from model.sinks import Arrival, Delivered, publish
from model.values import Row, row_hash

Path = tuple[tuple[int, int], ...]
TokenId = tuple[int, Path]
Tally = tuple[str, str, str, str]
KINDS = {1: "fork", 2: "explode", 3: "merge", 4: "batch"}


def token_text(token: TokenId) -> str:
    """A token's id for people: `42`, `42/fork:1`."""
    row, path = token
    return "/".join([str(row), *(f"{KINDS[kind]}:{ordinal}" for kind, ordinal in path)])


@dataclass(frozen=True)
class Token:
    """A token on its way.

    Attributes:
        id: Row index and path.
        row: Its data now.
        originals: Field to header at the source.
        edge: The outcome that its last edge gives it if it leads to a sink.
    """

    id: TokenId
    row: Row
    originals: Originals
    edge: str = "completed"


@dataclass(frozen=True)
class State:
    """One token at one node: how it came and how it left."""

    node: str
    status: str
    label: str | None
    to: str | None
    mode: str | None
    outcome: str | None
    hash_in: str | None
    hash_out: str


@dataclass
class Model:
    """What the pipeline makes of the input.

    Attributes:
        rows_in: Records.
        sinks: Sink to what was delivered.
        outcomes: Token to outcome and sink.
        states: Token to its way through the nodes, sinks left out.
        tallies: Count by node, measure, label and target.
        refusals: Every token that a sink refused, with that sink.
    """

    rows_in: int = 0
    sinks: dict[str, Delivered] = field(default_factory=dict)
    outcomes: dict[TokenId, tuple[str, str | None]] = field(default_factory=dict)
    states: dict[TokenId, list[State]] = field(default_factory=dict)
    tallies: Counter[Tally] = field(default_factory=Counter)
    refusals: list[tuple[TokenId, str]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Tokens by outcome."""
        return dict(sorted(Counter(outcome for outcome, _ in self.outcomes.values()).items()))


def interpret(
    settings: Mapping[str, Any], data: bytes, *, started_at: str = "", limit: int | None = None
) -> Model:
    """Runs a pipeline.

    Args:
        settings: The settings file's content, defaults left out.
        data: The bytes of the source's file.
        started_at: When the run started, ISO; for `__diversion_timestamp`.
        limit: How many records to read at most.

    Raises:
        SourceRefused: The source cannot be read at all.
    """
    walk = _Walk(settings, started_at)
    walk.source(read_records(settings["source"], data)[:limit])
    for node in walk.order():
        walk.visit(node)
    for sink in walk.publish_order():
        walk.publish(sink)
    return walk.model


class _Walk:
    def __init__(self, settings: Mapping[str, Any], started_at: str) -> None:
        self.settings = settings
        self.started_at = started_at
        self.model = Model()
        self.sinks: Mapping[str, Any] = settings["sinks"]
        self.nodes = {node["name"]: node for node in settings.get("transforms") or []}
        self.nodes |= {node["name"]: node for node in settings.get("gates") or []}
        self.consumers = {node["input"]: name for name, node in self.nodes.items()}
        self.waiting: dict[str, list[Token]] = {name: [] for name in [*self.nodes, *self.sinks]}

    def target(self, connection: str) -> str:
        return connection if connection in self.sinks else self.consumers[connection]

    def order(self) -> list[Mapping[str, Any]]:
        """The nodes between source and sinks, each behind all that lead to it."""
        order: list[str] = []

        def add(name: str) -> None:
            if name in order or name in self.sinks:
                return
            node = self.nodes[name]
            for connection in node["routes"].values() if "routes" in node else [node["on_success"]]:
                add(self.target(connection))
            order.insert(0, name)

        add(self.target(self.settings["source"]["on_success"]))
        return [self.nodes[name] for name in order]

    def publish_order(self) -> list[str]:
        """Sinks whose failures go to another come before it."""
        leading = [name for name, sink in self.sinks.items() if sink.get("on_write_failure") in self.sinks]
        return leading + [name for name in self.sinks if name not in leading]

    def source(self, records: list[Any]) -> None:
        source = self.settings["source"]
        options = source.get("options") or {}
        boundary = Boundary(schema_of(options))
        self.model.rows_in = len(records)
        for index, record in enumerate(records):
            self.count("source", "created")
            crossed = boundary.cross(record)
            originals = {name: header for name, header in record.originals.items() if name in crossed.row}
            token = Token((index, ()), crossed.row, originals)
            if crossed.valid:
                self.move("source", token, None, "on_success", self.target(source["on_success"]))
            else:
                failure = options.get("on_validation_failure") or source.get("on_validation_failure")
                self.set_aside("source", token, None, "on_validation_failure", failure)

    def visit(self, node: Mapping[str, Any]) -> None:
        for token in sorted(self.waiting[node["name"]], key=lambda token: token.id):
            self.count(node["name"], "in")
            try:
                if "routes" in node:
                    self.gate(node, token)
                else:
                    self.transform(node, token)
            except RowError:
                failure = node.get("on_error", "discard")
                self.set_aside(node["name"], token, row_hash(token.row), "on_error", failure)

    def transform(self, node: Mapping[str, Any], token: Token) -> None:
        row, originals = transform(node["plugin"], node.get("options") or {}, token.row, token.originals)
        moved = replace(token, row=row, originals=originals, edge="completed")
        self.move(node["name"], moved, row_hash(token.row), "on_success", self.target(node["on_success"]))

    def gate(self, node: Mapping[str, Any], token: Token) -> None:
        chosen = label(node["condition"], token.row, token.originals)
        routes = {_route_label(key): to for key, to in node["routes"].items()}
        if chosen not in routes:
            raise RowError(chosen)
        moved = replace(token, edge="routed")
        self.move(node["name"], moved, row_hash(token.row), chosen, self.target(routes[chosen]))

    def move(self, node: str, token: Token, hash_in: str | None, edge: str, to: str) -> None:
        self.count(node, "out", edge, to)
        self.state(token, State(node, "completed", edge, to, "move", None, hash_in, row_hash(token.row)))
        self.waiting[to].append(token)

    def set_aside(self, node: str, token: Token, hash_in: str | None, key: str, to: str) -> None:
        hash_out = row_hash(token.row)
        if to in self.sinks:
            self.count(node, "out", key, to)
            self.state(token, State(node, "failed", key, to, "divert", None, hash_in, hash_out))
            self.waiting[to].append(replace(token, edge="quarantined"))
        else:
            self.state(token, State(node, "failed", key, None, None, "quarantined", hash_in, hash_out))
            self.end(node, token, "quarantined", None)

    def publish(self, name: str) -> None:
        sink = self.sinks[name]
        tokens = sorted(self.waiting[name], key=lambda token: token.id)
        arrivals = [Arrival(token.row, token.originals, token.edge == "quarantined") for token in tokens]
        delivered = publish(sink, arrivals, takes_any=self.has_divert_edge(name))
        self.model.sinks[name] = delivered
        for position, token in enumerate(tokens):
            self.count(name, "in")
            if position not in delivered.refused:
                self.end(name, token, token.edge, name)
            else:
                self.refused(name, token, delivered.refused[position], sink.get("on_write_failure"))

    def refused(self, name: str, token: Token, reason: str, to: str | None) -> None:
        self.model.refusals.append((token.id, name))
        if to is None:
            self.end(name, token, "failed", None)
        elif to not in self.sinks:
            self.end(name, token, "quarantined", None)
        else:
            extra = {
                "__diversion_reason": reason,
                "__diverted_from": name,
                "__diversion_timestamp": self.started_at,
            }
            self.count(name, "out", "on_write_failure", to)
            self.waiting[to].append(replace(token, row={**token.row, **extra}, edge="quarantined"))

    def has_divert_edge(self, name: str) -> bool:
        source = self.settings["source"]
        ways = [
            (source.get("options") or {}).get("on_validation_failure"),
            source.get("on_validation_failure"),
        ]
        ways += [node.get("on_error") for node in self.nodes.values()]
        ways += [sink.get("on_write_failure") for sink in self.sinks.values()]
        return name in ways

    def end(self, node: str, token: Token, outcome: str, sink: str | None) -> None:
        assert token.id not in self.model.outcomes
        self.model.outcomes[token.id] = (outcome, sink)
        self.count(node, "ended", outcome, sink or "")

    def state(self, token: Token, state: State) -> None:
        self.model.states.setdefault(token.id, []).append(state)

    def count(self, node: str, measure: str, edge: str = "", target: str = "") -> None:
        self.model.tallies[node, measure, edge, target] += 1


def _route_label(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
