"""The conditions of gates, and whether their routes are those that the conditions ask for."""

from elspeth_dagster.expressions import Expression, ExpressionError, parse_expression
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import GateRule
from elspeth_dagster.settings.nodes import GateSettings

_BOOLEAN_LABELS = frozenset({"true", "false"})


def check_gate(gate: GateSettings, findings: Findings) -> GateRule | None:
    """What a gate decides by, or `None` when its condition is none."""
    try:
        condition = parse_expression(gate.condition)
    except ExpressionError as error:
        findings.add((*gate.path, "condition"), str(error))
        return None
    if condition.static_boolean:
        _check_boolean(condition, gate, findings)
    elif condition.possible_labels is not None:
        _check_constant(condition, gate, findings)
    return GateRule(findings.shown(condition), gate.routes, gate.fork_to)


def _check_boolean(condition: Expression, gate: GateSettings, findings: Findings) -> None:
    for label in gate.routes:
        if label not in _BOOLEAN_LABELS:
            findings.add(
                (*gate.path, "routes", label),
                f"the condition is always true or false, so nothing can take the route '{label}'; "
                "accepted: true, false",
            )
    for label in sorted(condition.possible_labels or (), reverse=True):
        if label not in gate.routes:
            findings.add(
                (*gate.path, "routes"), f"the condition can be {label}, and there is no route '{label}'"
            )


def _check_constant(condition: Expression, gate: GateSettings, findings: Findings) -> None:
    labels = condition.possible_labels or frozenset()
    if labels and not labels & gate.routes.keys():
        found = ", ".join(sorted(labels))
        routes = ", ".join(gate.routes)
        findings.add(
            (*gate.path, "routes"),
            f"the condition reads nothing of the row and always gives '{found}', which has no route; "
            f"routes: {routes}",
        )
