"""The reference model: what a settings file makes of some input, row by row over plain dicts.

Slow and obvious. It shares no code with the engine, knows no chunks, shards, commits or files, and is written
from the settings reference alone. A token is a row index and a path; every node takes the tokens that came to
it in token order, and hands them on one by one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.batches import Folded, batches, checked, fold
from model.boundary import Boundary, schema_of
from model.joins import Heard, Joined, join
from model.nodes import Originals, RowError, exploded, label, latency, transform
from model.reading import Record, read_records
from model.sinks import Arrival, Delivered, publish
from model.values import Row, row_hash
from model.wiring import Wiring, failure_of

Path = tuple[tuple[int, int], ...]
TokenId = tuple[int, Path]
Tally = tuple[str, str, str, str]
Way = tuple[str, TokenId, str]
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
        branch: The branch by which it comes to a join.
        entered: Gate to the token that entered it, for every gate on its way.
        ways: The forks that it came through, each as gate, token that entered it, and branch.
        arrived_us: When it came, on the run's own clock.
    """

    id: TokenId
    row: Row
    originals: Originals
    edge: str = "completed"
    branch: str | None = None
    entered: Mapping[str, TokenId] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()
    arrived_us: int = 0


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
        parents: Token to the tokens that it was made of, for those that a node made; of a batch, that which
            it hangs off.
        refusals: Every token that a sink refused, with that sink.
        records: What the source yielded.
        arrivals_us: Per record when it arrived.
        branches: Token to the branch that a fork made it for.
        calls: Token to the calls that were made about it, each as node and duration (µs).
    """

    rows_in: int = 0
    sinks: dict[str, Delivered] = field(default_factory=dict)
    outcomes: dict[TokenId, tuple[str, str | None]] = field(default_factory=dict)
    states: dict[TokenId, list[State]] = field(default_factory=dict)
    tallies: Counter[Tally] = field(default_factory=Counter)
    parents: dict[TokenId, list[TokenId]] = field(default_factory=dict)
    refusals: list[tuple[TokenId, str]] = field(default_factory=list)
    records: Sequence[Record] = ()
    arrivals_us: Sequence[int] = ()
    branches: dict[TokenId, str] = field(default_factory=dict)
    calls: dict[TokenId, list[tuple[str, int]]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Tokens by outcome."""
        return dict(sorted(Counter(outcome for outcome, _ in self.outcomes.values()).items()))


def interpret(
    settings: Mapping[str, Any],
    data: bytes,
    *,
    started_at: str = "",
    limit: int | None = None,
    arrivals_us: Sequence[int] = (),
) -> Model:
    """Runs a pipeline.

    Args:
        settings: The settings file's content, defaults left out.
        data: The bytes of the source's file.
        started_at: When the run started, ISO; for `__diversion_timestamp`.
        limit: How many records to read at most.
        arrivals_us: When each record arrived, and all behind with the last; all at once when not given.

    Raises:
        SourceRefused: The source cannot be read at all.
    """
    walk = _Walk(settings, started_at, arrivals_us)
    walk.source(read_records(settings["source"], data)[:limit])
    for node in walk.wiring.order():
        walk.visit(node)
    for sink in walk.wiring.publish_order():
        walk.publish(sink)
    return walk.model


class _Walk:
    def __init__(self, settings: Mapping[str, Any], started_at: str, arrivals_us: Sequence[int]) -> None:
        self.wiring = Wiring(settings)
        self.started_at = started_at
        self.arrivals_us = arrivals_us
        self.model = Model(arrivals_us=arrivals_us)
        self.heard: dict[tuple[Way, ...], int] = {}
        self.forked: dict[TokenId, tuple[str, tuple[Way, ...]]] = {}
        self.waiting: dict[str, list[Token]] = {name: [] for name in [*self.wiring.nodes, *self.wiring.sinks]}

    def source(self, records: Sequence[Record]) -> None:
        source = self.wiring.source
        boundary = Boundary(schema_of(source.get("options")))
        self.model.rows_in, self.model.records = len(records), records
        for index, record in enumerate(records):
            self.count("source", "created")
            crossed = boundary.cross(record)
            originals = {name: header for name, header in record.originals.items() if name in crossed.row}
            arrived_us = self.arrivals_us[min(index, len(self.arrivals_us) - 1)] if self.arrivals_us else 0
            token = Token((index, ()), crossed.row, originals, arrived_us=arrived_us)
            if crossed.valid:
                self.move("source", token, None, "on_success", source["on_success"])
            else:
                self.set_aside(
                    "source", token, None, "on_validation_failure", failure_of(source) or "discard"
                )

    def visit(self, node: Mapping[str, Any]) -> None:
        tokens = sorted(self.waiting[node["name"]], key=lambda token: token.id)
        for _ in tokens:
            self.count(node["name"], "in")
        if "branches" in node:
            self.coalesce(node, tokens)
        elif "trigger" in node:
            self.aggregation(node, tokens)
        else:
            for token in tokens:
                self.row_node(node, token)

    def row_node(self, node: Mapping[str, Any], token: Token) -> None:
        try:
            token = self.asked(node, token)
            if "routes" in node:
                self.gate(node, token)
            elif node["plugin"] == "json_explode":
                self.explode(node, token)
            else:
                self.transform(node, token)
        except RowError:
            failure = node.get("on_error", "discard")
            self.set_aside(node["name"], token, row_hash(token.row), "on_error", failure)

    def asked(self, node: Mapping[str, Any], token: Token) -> Token:
        """The token behind a call, if the node makes one: it came later by as much as that took."""
        elapsed_us = latency(node, token.row)
        if elapsed_us is None:
            return token
        self.model.calls.setdefault(token.id, []).append((node["name"], elapsed_us))
        later = replace(token, arrived_us=token.arrived_us + elapsed_us)
        self.hear(later.ways, later.arrived_us)
        return later

    def hear(self, ways: tuple[Way, ...], at_us: int) -> None:
        """Every branch that a token is on was still under way then."""
        for length in range(1, len(ways) + 1):
            self.heard[ways[:length]] = at_us

    def transform(self, node: Mapping[str, Any], token: Token) -> None:
        row, originals = transform(node["plugin"], node.get("options") or {}, token.row, token.originals)
        moved = replace(token, row=row, originals=originals, edge="completed")
        self.move(node["name"], moved, row_hash(token.row), "on_success", node["on_success"])

    def explode(self, node: Mapping[str, Any], token: Token) -> None:
        rows = exploded(node["options"], token.row)
        self.turned_into(node["name"], token, "expanded")
        for index, row in enumerate(rows):
            child = self.child(node["name"], token, (token,), 2, index)
            originals = {name: header for name, header in token.originals.items() if name in row}
            self.move(
                node["name"],
                replace(child, row=row, originals=originals),
                None,
                "on_success",
                node["on_success"],
            )

    def gate(self, node: Mapping[str, Any], token: Token) -> None:
        name = node["name"]
        chosen = label(node["condition"], token.row, token.originals)
        routes = {_route_label(key): to for key, to in node["routes"].items()}
        if chosen not in routes:
            raise RowError(chosen)
        entered = replace(token, entered={**token.entered, name: token.id})
        if routes[chosen] != "fork":
            self.move(name, replace(entered, edge="routed"), row_hash(token.row), chosen, routes[chosen])
            return
        self.turned_into(name, token, "forked")
        self.forked[token.id] = (name, token.ways)
        for index, branch in enumerate(node["fork_to"]):
            child = self.child(name, entered, (token,), 1, index)
            child = replace(child, ways=(*token.ways, (name, token.id, branch)))
            self.hear(child.ways, child.arrived_us)
            self.model.branches[child.id] = branch
            self.send(name, child, None, branch, self.wiring.branch_target(branch), "copy", branch)

    def aggregation(self, node: Mapping[str, Any], tokens: Sequence[Token]) -> None:
        end_us = tokens[-1].arrived_us if tokens else 0
        for batch in batches(node["trigger"], [token.arrived_us for token in tokens], end_us):
            members = [tokens[position] for position in batch.members]
            self.batch(node, members, tokens[batch.host], batch.fired_us)

    def batch(self, node: Mapping[str, Any], members: Sequence[Token], host: Token, fired_us: int) -> None:
        name, to = node["name"], node.get("on_success") or node["name"]
        try:
            folded = fold(node["plugin"], node.get("options") or {}, [token.row for token in members])
            folded = checked(node, folded, len(members))
        except RowError:
            folded = Folded([], set(range(len(members))))
        passing = node.get("output_mode") == "passthrough"
        outputs = iter(folded.rows)
        for position, token in enumerate(members):
            if position in folded.refused:
                self.set_aside(name, token, row_hash(token.row), "on_error", node["on_error"])
            elif passing:
                self.move(
                    name,
                    replace(token, row=next(outputs), edge="completed"),
                    row_hash(token.row),
                    "on_success",
                    to,
                )
            else:
                self.turned_into(name, token, "consumed_in_batch")
        for index, row in enumerate(() if passing else folded.rows):
            child = self.child(name, host, (host,), 4, index)
            self.move(
                name, replace(child, row=row, originals={}, arrived_us=fired_us), None, "on_success", to
            )

    def coalesce(self, node: Mapping[str, Any], tokens: Sequence[Token]) -> None:
        anchor = self.wiring.anchor(node)
        rivals = [other for other in self.wiring.nodes.values() if "branches" in other]
        ordinal = [other["name"] for other in rivals if self.wiring.anchor(other) == anchor].index(
            node["name"]
        )
        groups: dict[TokenId, dict[str, Token]] = {
            key: {} for key, (gate, _) in self.forked.items() if gate == anchor
        }
        for token in tokens:
            groups[token.entered[anchor]][token.branch or ""] = token
        for key, group in sorted(groups.items()):
            events = [
                Heard(branch, group[branch].arrived_us, group[branch].row)
                if branch in group
                else Heard(branch, self.lost_at(key, self.wiring.lineage(node, branch)), None)
                for branch in self.wiring.in_fork_order(node)
            ]
            self.join(node, key, group, join(node, events), ordinal)

    def lost_at(self, key: TokenId, lineage: Sequence[tuple[str, str]]) -> int:
        """When a branch was last heard of: behind the last fork on its way that was reached."""
        outer = self.forked[key][1]
        reached = {
            len(ways): at_us
            for ways, at_us in self.heard.items()
            if ways[: len(outer)] == outer and key in [entered for _, entered, _ in ways[len(outer) :][:1]]
            if [(gate, branch) for gate, _, branch in ways[len(outer) :]] == lineage[: len(ways) - len(outer)]
        }
        return reached[max(reached)]

    def join(
        self, node: Mapping[str, Any], key: TokenId, group: Mapping[str, Token], joined: Joined, ordinal: int
    ) -> None:
        ways = self.forked[key][1]
        self.hear(ways, joined.at_us)
        for branch, token in group.items():
            self.turned_into(node["name"], token, joined.outcome(branch))
        if joined.row is None:
            return
        used = sorted((group[branch] for branch in joined.used), key=lambda token: token.id)
        originals = _together(used, joined.row)
        whole = replace(
            used[0], id=key, row=joined.row, originals=originals, ways=ways, arrived_us=joined.at_us
        )
        merged = self.child(node["name"], whole, used, 3, ordinal)
        self.move(node["name"], merged, None, "on_success", node.get("on_success") or node["name"])

    def child(self, node: str, parent: Token, parents: Sequence[Token], kind: int, ordinal: int) -> Token:
        """A token that a node makes; its id extends that of the token that it hangs off."""
        row, path = parent.id
        token = (row, (*path, (kind, ordinal)))
        self.count(node, "created")
        self.model.parents[token] = [other.id for other in parents]
        return replace(parent, id=token, edge="completed")

    def turned_into(self, node: str, token: Token, outcome: str) -> None:
        """A token that ends because others take its place, or because its join failed."""
        status = "failed" if outcome == "failed" else "completed"
        hashed = row_hash(token.row)
        self.state(token, State(node, status, None, None, None, outcome, hashed, hashed))
        self.end(node, token, outcome, None)

    def move(self, node: str, token: Token, hash_in: str | None, edge: str, connection: str) -> None:
        self.send(node, token, hash_in, edge, self.wiring.target(connection), "move", connection)

    def send(
        self, node: str, token: Token, hash_in: str | None, edge: str, to: str, mode: str, connection: str
    ) -> None:
        self.count(node, "out", edge, to)
        self.state(token, State(node, "completed", edge, to, mode, None, hash_in, row_hash(token.row)))
        self.waiting[to].append(replace(token, branch=self.wiring.arrives_as(connection)))

    def set_aside(self, node: str, token: Token, hash_in: str | None, key: str, to: str) -> None:
        hash_out = row_hash(token.row)
        if to in self.wiring.sinks:
            self.count(node, "out", key, to)
            self.state(token, State(node, "failed", key, to, "divert", None, hash_in, hash_out))
            self.waiting[to].append(replace(token, edge="quarantined"))
        else:
            self.state(token, State(node, "failed", key, None, None, "quarantined", hash_in, hash_out))
            self.end(node, token, "quarantined", None)

    def publish(self, name: str) -> None:
        sink = self.wiring.sinks[name]
        tokens = sorted(self.waiting[name], key=lambda token: token.id)
        arrivals = [Arrival(token.row, token.originals, token.edge == "quarantined") for token in tokens]
        header = self.model.records[0].header if self.model.records else {}
        delivered = publish(sink, arrivals, header, takes_any=self.wiring.takes_diverted(name))
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
        elif to not in self.wiring.sinks:
            self.end(name, token, "quarantined", None)
        else:
            extra = {
                "__diversion_reason": reason,
                "__diverted_from": name,
                "__diversion_timestamp": self.started_at,
            }
            self.count(name, "out", "on_write_failure", to)
            self.waiting[to].append(replace(token, row={**token.row, **extra}, edge="quarantined"))

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


def _together(tokens: Sequence[Token], row: Row) -> dict[str, str]:
    """The original headers of a merged row's fields; of several the smallest."""
    found: dict[str, str] = {}
    for token in tokens:
        for name, header in token.originals.items():
            if name in row:
                found[name] = min(header, found.get(name, header))
    return found
