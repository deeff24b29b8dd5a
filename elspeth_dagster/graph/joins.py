"""Where the branches of each coalesce part, and whether they can meet again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from elspeth_dagster.graph.ends import branch_path
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import CoalesceRule, Edge, EdgeMode, PathElement
from elspeth_dagster.rows.tokens import PathKind
from elspeth_dagster.settings.nodes import CoalesceSettings
from elspeth_dagster.settings.settings import Settings


@dataclass(frozen=True)
class _Step:
    """How a token, or one made of it, comes on from a node.

    Attributes:
        node: The node.
        kind: FORK with the branch, MERGE with the coalesce, or `None` with the node where it moves to.
        to: The name that goes with the kind.
    """

    node: str
    kind: PathKind | None
    to: str


_Path = tuple[_Step, ...]


@dataclass(frozen=True)
class _Parting:
    """The branches of one coalesce.

    Attributes:
        coalesce: Its settings.
        anchor: The gate where they part.
        below: For each branch, its steps from there on.
    """

    coalesce: CoalesceSettings
    anchor: str
    below: Mapping[str, _Path]


def coalesce_rules(
    settings: Settings,
    order: Sequence[str],
    edges: Iterable[Edge],
    multiplying: Mapping[str, str],
    findings: Findings,
) -> dict[str, CoalesceRule]:
    """What each coalesce joins; one that cannot is left out, and why is noted.

    Args:
        settings: The settings.
        order: The nodes that are in no cycle and behind none, in topological order.
        edges: All edges.
        multiplying: Nodes that can make several tokens of one, with what they are.
        findings: Takes the problems.
    """
    into: dict[str, list[Edge]] = {}
    for edge in edges:
        if edge.mode is not EdgeMode.DIVERT:
            into.setdefault(edge.target, []).append(edge)
    by_name = {coalesce.name: coalesce for coalesce in settings.coalesces}
    anchors: dict[str, str] = {}
    partings: dict[str, _Parting] = {}
    for name in order:
        if name in by_name:
            walk = _Walk(settings, into, anchors, multiplying, findings)
            parting = walk.parting(by_name[name])
            if parting is not None:
                anchors[name] = parting.anchor
                partings[name] = parting
    return _rules(settings, partings)


@dataclass(frozen=True)
class _Walk:
    """Walks back from coalesces to the source."""

    settings: Settings
    into: Mapping[str, Sequence[Edge]]
    anchors: Mapping[str, str]
    multiplying: Mapping[str, str]
    findings: Findings

    def parting(self, coalesce: CoalesceSettings) -> _Parting | None:
        """Where the branches of a coalesce part, or `None` when they do not, or not all of them are there."""
        paths = {}
        for edge in self.into.get(coalesce.name, ()):
            path = self._path(edge.source)
            if path is not None and edge.branch is not None:
                paths[edge.branch] = (*path, _step(edge))
        paths = {branch: paths[branch] for branch in coalesce.branches if branch in paths}
        is_right = [self._carries(coalesce, branch, path) for branch, path in paths.items()]
        if not all(is_right) or len(paths) < len(coalesce.branches):
            return None
        depth = min(_parts_at(one, other) for one, other in combinations(paths.values(), 2))
        anchor = next(iter(paths.values()))[depth].node
        below = {branch: path[depth:] for branch, path in paths.items()}
        can_meet = self._can_meet(coalesce, paths)
        is_single = self._is_single(coalesce, anchor, below)
        return _Parting(coalesce, anchor, below) if can_meet and is_single else None

    def _path(self, name: str) -> _Path | None:
        """The steps from the source to a node; `None` when it hangs in the air, or behind a broken join."""
        steps: list[_Step] = []
        coalesces = {coalesce.name for coalesce in self.settings.coalesces}
        while name != self.settings.source.name:
            if name in coalesces:
                if name not in self.anchors:
                    return None
                step = _Step(self.anchors[name], PathKind.MERGE, name)
            elif name in self.into:
                step = _step(self.into[name][0])
            else:
                return None
            steps.append(step)
            name = step.node
        return tuple(reversed(steps))

    def _carries(self, coalesce: CoalesceSettings, branch: str, path: _Path) -> bool:
        """Whether what arrives by a branch's connection is that branch."""
        carried = next((step.to for step in reversed(path) if step.kind is PathKind.FORK), None)
        if carried == branch:
            return True
        connection = coalesce.branches[branch]
        if carried is None:
            found = f"what arrives by the connection '{connection}' comes from no fork"
        else:
            found = f"the connection '{connection}' carries the branch '{carried}'"
        self.findings.add(
            branch_path(self.settings, coalesce, branch),
            f"{found}, not the branch '{branch}'; each branch has the connection by which it arrives"
            + (f", here '{carried}: {connection}'" if carried else ""),
        )
        return False

    def _can_meet(self, coalesce: CoalesceSettings, paths: Mapping[str, _Path]) -> bool:
        for (one, path), (other, other_path) in combinations(paths.items(), 2):
            depth = _parts_at(path, other_path)
            if path[depth].kind is None or other_path[depth].kind is None:
                self.findings.add(
                    branch_path(self.settings, coalesce, other),
                    f"the branches '{one}' and '{other}' never meet: a row takes one route of the gate "
                    f"'{path[depth].node}', where their ways part; the branches of a coalesce part where a "
                    "gate forks",
                )
                return False
        return True

    def _is_single(self, coalesce: CoalesceSettings, anchor: str, below: Mapping[str, _Path]) -> bool:
        is_single = True
        for branch, steps in below.items():
            for step in steps[1:]:
                if step.node in self.multiplying:
                    is_single = False
                    self.findings.add(
                        branch_path(self.settings, coalesce, branch),
                        f"'{step.node}' ({self.multiplying[step.node]}) stands in the branch '{branch}' and "
                        f"makes other tokens of those that the gate '{anchor}' forked, so that "
                        f"'{coalesce.name}' could not tell which ones belong together; put it before "
                        f"'{anchor}' or behind '{coalesce.name}', or let the branch end in a sink",
                    )
        return is_single


def _step(edge: Edge) -> _Step:
    if edge.mode is EdgeMode.COPY:
        return _Step(edge.source, PathKind.FORK, edge.label)
    return _Step(edge.source, None, edge.target)


def _parts_at(one: _Path, other: _Path) -> int:
    """How many steps two ways have in common."""
    for depth, (step, other_step) in enumerate(zip(one, other, strict=False)):
        if step != other_step:
            return depth
    return min(len(one), len(other)) - 1


def _rules(settings: Settings, partings: Mapping[str, _Parting]) -> dict[str, CoalesceRule]:
    """The rules, now that it is known which coalesces share an anchor."""
    ordinals: dict[str, int] = {}
    counts: dict[str, int] = {}
    for coalesce in settings.coalesces:
        if coalesce.name in partings:
            anchor = partings[coalesce.name].anchor
            ordinals[coalesce.name] = counts.get(anchor, 0)
            counts[anchor] = ordinals[coalesce.name] + 1
    branches = {branch: position for gate in settings.gates for position, branch in enumerate(gate.fork_to)}
    places = {PathKind.FORK: branches, PathKind.MERGE: ordinals}
    return {name: _rule(parting, ordinals[name], places) for name, parting in partings.items()}


def _rule(parting: _Parting, ordinal: int, places: Mapping[PathKind, Mapping[str, int]]) -> CoalesceRule:
    coalesce = parting.coalesce
    paths = {branch: tuple(_elements(steps, places)) for branch, steps in parting.below.items()}
    return CoalesceRule(
        branches=tuple(coalesce.branches),
        policy=coalesce.policy,
        merge=coalesce.merge,
        timeout_seconds=coalesce.timeout_seconds,
        quorum_count=coalesce.quorum_count,
        select_branch=coalesce.select_branch,
        anchor=parting.anchor,
        arrival_order=tuple(sorted(paths, key=paths.__getitem__)),
        ordinal=ordinal,
        paths=paths,
    )


def _elements(steps: Iterable[_Step], places: Mapping[PathKind, Mapping[str, int]]) -> Iterator[PathElement]:
    for step in steps:
        if step.kind is not None:
            yield step.kind, places[step.kind][step.to]
