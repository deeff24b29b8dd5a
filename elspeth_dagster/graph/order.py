"""The order of the nodes, and what no row can ever reach."""

from collections.abc import Iterable, Mapping, Sequence

from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import Edge
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import SOURCE_NODE


def topological(names: Sequence[str], edges: Iterable[Edge]) -> tuple[list[str], list[str]]:
    """Orders names so that every edge points forwards; ties are broken by the given order.

    Returns:
        The ordered names, and those that are in a cycle or behind one.
    """
    rank = {name: index for index, name in enumerate(names)}
    waiting = dict.fromkeys(names, 0)
    targets: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        if edge.source in rank and edge.target in rank:
            waiting[edge.target] += 1
            targets[edge.source].append(edge.target)
    ready = [name for name in names if waiting[name] == 0]
    ordered: list[str] = []
    while ready:
        ready.sort(key=rank.__getitem__)
        name = ready.pop(0)
        ordered.append(name)
        for target in targets[name]:
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    done = set(ordered)
    return ordered, [name for name in names if name not in done]


def cycle_in(names: Sequence[str], edges: Iterable[Edge]) -> list[str]:
    """One cycle among names that all lie in one or behind one; its first node comes again at the end."""
    among = set(names)
    before = {edge.target: edge.source for edge in edges if edge.source in among and edge.target in among}
    seen: list[str] = []
    name = names[0]
    while name not in seen:
        seen.append(name)
        name = before[name]
    path = seen[seen.index(name) :][::-1]
    return [*path, path[0]]


def reachable(edges: Iterable[Edge]) -> set[str]:
    """The nodes that rows of the source can reach, by whatever edges."""
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.source, []).append(edge.target)
    found = {SOURCE_NODE}
    pending = [SOURCE_NODE]
    while pending:
        for target in targets.get(pending.pop(), ()):
            if target not in found:
                found.add(target)
                pending.append(target)
    return found


def check_reachable(
    places: Mapping[str, KeyPath], edges: Sequence[Edge], sinks: Iterable[str], findings: Findings
) -> None:
    """Notes nodes and sinks that no row can reach."""
    found = reachable(edges)
    unused = set(sinks)
    for name, path in places.items():
        if name in found:
            continue
        if name not in unused:
            findings.add(path, f"no row can reach '{name}': nothing leads from the source to it")
        elif any(edge.target == name for edge in edges):
            findings.add(path, f"no row can reach the sink '{name}': nothing leads from the source to it")
        else:
            findings.add(
                path, f"the sink '{name}' is never used; name it in an on_success, a route or an on_error"
            )
