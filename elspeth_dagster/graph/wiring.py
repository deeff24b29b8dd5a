"""Connections, resolved to edges between nodes (settings reference, 1.5 and 1.6)."""

from collections.abc import Container, Iterator, Mapping

from elspeth_dagster.graph.ends import Inlet, Outlet, Wiring
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import Edge, EdgeMode
from elspeth_dagster.settings.names import DISCARD


def resolve_edges(wiring: Wiring, findings: Findings) -> tuple[Edge, ...]:
    """Joins outlets and inlets; notes every one that has no other end, or more than one."""
    producers = _producers(wiring, findings)
    consumers = _consumers(wiring, producers, findings)
    edges = []
    for outlet in wiring.outlets:
        if wiring.reaches_sink(outlet):
            edges.append(Edge(outlet.node, outlet.to, outlet.label, outlet.mode))
            continue
        inlet = None if outlet.sinks_only else consumers.get(outlet.to)
        if inlet is None:
            _dangling(outlet, wiring, findings)
        elif _is_fed(inlet, outlet, producers):
            edges.append(Edge(outlet.node, inlet.node, outlet.label, outlet.mode, inlet.branch))
    edges.extend(_divert_edges(wiring, findings))
    _check_labels(wiring, findings)
    return tuple(edges)


def _is_fed(inlet: Inlet, outlet: Outlet, producers: Mapping[str, Outlet]) -> bool:
    """Whether an outlet is the one that a coalesce's branch has; of two producers the first counts there."""
    return inlet.branch is None or producers[inlet.connection].node == outlet.node


def _producers(wiring: Wiring, findings: Findings) -> dict[str, Outlet]:
    producers: dict[str, Outlet] = {}
    for outlet in wiring.outlets:
        if wiring.reaches_sink(outlet) or outlet.to == wiring.export_sink or outlet.sinks_only:
            continue
        first = producers.setdefault(outlet.to, outlet)
        if first.is_branch and outlet.is_branch:
            continue
        if first.node != outlet.node:
            findings.add(
                outlet.key_path,
                f"connection '{outlet.to}' already comes from '{first.node}'; a connection has one producer "
                "(several nodes can share a sink, not a connection)",
            )
        elif first.mode is not outlet.mode:
            findings.add(
                outlet.key_path,
                f"'{outlet.to}' is a route of '{outlet.node}' too; a branch has a connection of its own",
            )
    return producers


def _consumers(wiring: Wiring, producers: Mapping[str, Outlet], findings: Findings) -> dict[str, Inlet]:
    consumers: dict[str, Inlet] = {}
    for inlet in wiring.inlets:
        name = inlet.connection
        is_sink = name in wiring.sinks or name == wiring.export_sink
        if is_sink and not (inlet.is_direct and name in producers):
            what = "a branch" if inlet.branch else "'input'"
            findings.unknown(
                inlet.key_path,
                f"'{name}' is a sink, and nothing comes out of a sink; {what} takes a connection",
                name,
                producers,
            )
        elif name in consumers:
            if inlet.is_direct and consumers[name].branch == name:
                continue  # two coalesces with one branch: told where the branches are looked at
            findings.add(
                inlet.key_path,
                f"connection '{name}' already goes to '{consumers[name].node}'; "
                "a connection has one consumer",
            )
        else:
            consumers[name] = inlet
            if name not in producers and not inlet.is_direct:
                findings.unknown(inlet.key_path, f"no node produces the connection '{name}'", name, producers)
    return consumers


def _dangling(outlet: Outlet, wiring: Wiring, findings: Findings) -> None:
    inputs = dict.fromkeys(
        inlet.connection
        for inlet in wiring.inlets
        if inlet.connection not in wiring.sinks and (outlet.is_branch or not inlet.is_direct)
    )
    accepted = list(wiring.sinks if outlet.sinks_only else dict.fromkeys([*wiring.sinks, *inputs]))
    if outlet.is_own_name:
        findings.add(
            outlet.key_path,
            f"nothing takes the rows of '{outlet.node}': give it an on_success, or a node behind it "
            f"'input: {outlet.node}'",
        )
        return
    findings.unknown(outlet.key_path, _why_dangling(outlet, wiring, inputs), outlet.to, accepted)


def _why_dangling(outlet: Outlet, wiring: Wiring, inputs: Container[str]) -> str:
    if outlet.to == wiring.export_sink:
        return f"'{outlet.to}' is the sink of the audit export and takes no rows of the pipeline"
    if outlet.sinks_only:
        found = "a connection" if outlet.to in inputs else "not a sink"
        return (
            f"'{outlet.to}' is {found}; a coalesce's on_success takes a sink (for a node behind it, leave "
            f"on_success out and write 'input: {outlet.node}' there)"
        )
    if outlet.is_branch:
        return _lost_branch(outlet, wiring)
    if outlet.to == DISCARD:
        return "'discard' is no destination here; rows are discarded only by on_error and the like"
    return f"'{outlet.to}' is neither a sink nor the input of a node"


def _lost_branch(outlet: Outlet, wiring: Wiring) -> str:
    branch = outlet.to
    for inlet in wiring.inlets:
        if inlet.branch == branch:
            return (
                f"the branch '{branch}' leads nowhere: '{inlet.node}' takes it from the connection "
                f"'{inlet.connection}', but no node has 'input: {branch}' (without a node between, "
                f"'{inlet.node}' has '{branch}: {branch}')"
            )
    return f"the branch '{branch}' leads nowhere: it is no sink, no branch of a coalesce and no node's input"


def _divert_edges(wiring: Wiring, findings: Findings) -> Iterator[Edge]:
    inputs = {inlet.connection for inlet in wiring.inlets}
    for divert in wiring.diverts:
        if divert.to == DISCARD:
            continue
        if divert.to not in wiring.sinks:
            kind = "a connection, not" if divert.to in inputs else "not"
            what = f"'{divert.to}' is {kind} a sink; {divert.label} takes a sink or 'discard'"
            findings.unknown(divert.key_path, what, divert.to, [*wiring.sinks, DISCARD])
        elif divert.to == divert.node:
            findings.add(divert.key_path, "a sink's write failures cannot go to that same sink")
        else:
            yield Edge(divert.node, divert.to, divert.label, EdgeMode.DIVERT)


def _check_labels(wiring: Wiring, findings: Findings) -> None:
    borne = {
        (divert.node, divert.label): f"the node's own key '{divert.label}'"
        for divert in wiring.diverts
        if divert.to != DISCARD
    }
    for outlet in wiring.outlets:
        key = (outlet.node, outlet.label)
        if key not in borne:
            borne[key] = f"the route '{outlet.label}'"
            continue
        findings.add(
            outlet.key_path,
            f"two edges of '{outlet.node}' would bear the label '{outlet.label}': "
            f"this {'branch' if outlet.is_branch else 'route'} and {borne[key]}",
        )
