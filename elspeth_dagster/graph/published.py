"""What every node publishes: its plugin's rows, a gate's as they came, a coalesce's of all its branches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from elspeth_dagster.graph.ends import branch_path
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import Edge, EdgeMode, NodeFacts
from elspeth_dagster.rows.fields import FieldSpec, Schema, SchemaMode
from elspeth_dagster.settings.nodes import CoalescePolicy, CoalesceSettings, MergeStrategy
from elspeth_dagster.settings.settings import Settings


@dataclass(frozen=True)
class Published:
    """What leaves a node.

    Attributes:
        producer: The node that made the rows: itself, or the one before it when it is a gate.
        facts: What is known of them.
    """

    producer: str
    facts: NodeFacts

    @property
    def is_declared(self) -> bool:
        """Whether all their fields, or all that matter, are declared."""
        return not self.facts.own_fields and self.facts.schema.mode is not SchemaMode.OBSERVED


def published_facts(
    settings: Settings,
    order: Sequence[str],
    edges: Iterable[Edge],
    facts: Mapping[str, NodeFacts],
    findings: Findings,
) -> dict[str, Published]:
    """What each node publishes, as far as it can be known; unions that do not fit are noted.

    Args:
        settings: The settings.
        order: The nodes that are in no cycle and behind none, in topological order.
        edges: All edges.
        facts: What the plugins and options say, by node.
        findings: Takes the problems.
    """
    into: dict[str, list[Edge]] = {}
    for edge in edges:
        if edge.mode is not EdgeMode.DIVERT:
            into.setdefault(edge.target, []).append(edge)
    coalesces = {coalesce.name: coalesce for coalesce in settings.coalesces}
    gates = {gate.name for gate in settings.gates}
    published: dict[str, Published] = {}
    for name in order:
        arriving = [edge for edge in into.get(name, ()) if edge.source in published]
        if name in facts:
            published[name] = Published(name, facts[name])
        elif name in coalesces:
            coalesce = coalesces[name]
            branches = {edge.branch: published[edge.source] for edge in arriving if edge.branch is not None}
            if branches.keys() == coalesce.branches.keys():
                in_order = {branch: branches[branch] for branch in coalesce.branches}
                _check_union(settings, coalesce, in_order, findings)
                published[name] = Published(name, _merged(coalesce, in_order))
        elif name in gates and arriving:
            published[name] = published[arriving[0].source]
    return published


def _merged(coalesce: CoalesceSettings, branches: Mapping[str, Published]) -> NodeFacts:
    facts = {branch: published.facts for branch, published in branches.items()}
    takes_all = coalesce.policy is CoalescePolicy.REQUIRE_ALL
    if coalesce.merge is MergeStrategy.SELECT and coalesce.select_branch is not None:
        return replace(facts[coalesce.select_branch], expands=False)
    if coalesce.merge is MergeStrategy.NESTED:
        return NodeFacts(guaranteed=frozenset(branches) if takes_all else frozenset(), own_fields=True)
    names = [each.guaranteed for each in facts.values()]
    guaranteed = frozenset.union(*names) if takes_all else frozenset.intersection(*names)
    if not all(published.is_declared for published in branches.values()):
        return NodeFacts(guaranteed=guaranteed, own_fields=True)
    return NodeFacts(schema=_merged_schema([each.schema for each in facts.values()]), guaranteed=guaranteed)


def _merged_schema(schemas: Sequence[Schema]) -> Schema:
    """The fields of all; one is required where every branch requires it, since null may come of any."""
    fields: dict[str, FieldSpec] = {}
    for spec in (spec for schema in schemas for spec in schema.fields):
        known = fields.get(spec.name, spec)
        fields[spec.name] = replace(known, required=known.required and spec.required)
    is_fixed = all(schema.mode is SchemaMode.FIXED for schema in schemas)
    return Schema(
        mode=SchemaMode.FIXED if is_fixed else SchemaMode.FLEXIBLE,
        fields=tuple(fields.values()),
        guaranteed_fields=tuple(
            name
            for name in schemas[0].guaranteed_fields
            if all(name in schema.guaranteed_fields for schema in schemas)
        ),
    )


def _check_union(
    settings: Settings, coalesce: CoalesceSettings, branches: Mapping[str, Published], findings: Findings
) -> None:
    if coalesce.merge is not MergeStrategy.UNION:
        return
    for (one, first), (other, second) in combinations(branches.items(), 2):
        message = _union_problem(one, first, other, second)
        if message is not None:
            findings.add(branch_path(settings, coalesce, other), message)
            return


def _union_problem(one: str, first: Published, other: str, second: Published) -> str | None:
    if first.is_declared is not second.is_declared:
        known, unknown = (first, second) if first.is_declared else (second, first)
        return (
            f"a union cannot tell whether the branches '{one}' and '{other}' agree: the fields of "
            f"'{known.producer}' are declared, those of '{unknown.producer}' are not; make both schemas "
            "observed or both explicit, or write 'merge: nested'"
        )
    if not first.is_declared:
        return None
    types = {spec.name: spec.type for spec in first.facts.schema.fields}
    others = {spec.name: spec.type for spec in second.facts.schema.fields}
    for name in sorted(types.keys() & others.keys()):
        if types[name] is not others[name]:
            return (
                f"field '{name}' is {types[name].value} in the branch '{one}' and {others[name].value} in "
                f"the branch '{other}'; a union takes one type for a field, 'merge: nested' takes both"
            )
    different = sorted(types.keys() ^ others.keys())
    if different:
        holder = one if different[0] in types else other
        return (
            f"field '{different[0]}' is declared in the branch '{holder}' alone; a union of explicit schemas "
            "takes the same fields from every branch (or make them observed, or write 'merge: nested')"
        )
    return None
