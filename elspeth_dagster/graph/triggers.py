"""When the batches of aggregations are complete."""

from elspeth_dagster.expressions import (
    Expression,
    ExpressionError,
    check_trigger_expression,
    parse_expression,
)
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import AggregationRule
from elspeth_dagster.settings.nodes import AggregationSettings


def check_aggregation(aggregation: AggregationSettings, findings: Findings) -> AggregationRule:
    """How an aggregation forms batches; without a condition when that is none."""
    return AggregationRule(
        count=aggregation.trigger.count,
        timeout_seconds=aggregation.trigger.timeout_seconds,
        condition=_condition(aggregation, findings),
        output_mode=aggregation.output_mode,
        expected_output_count=aggregation.expected_output_count,
    )


def _condition(aggregation: AggregationSettings, findings: Findings) -> Expression | None:
    text = aggregation.trigger.condition
    if text is None:
        return None
    try:
        condition = parse_expression(text)
        check_trigger_expression(condition)
    except ExpressionError as error:
        findings.add((*aggregation.path, "trigger", "condition"), str(error))
        return None
    return findings.shown(condition)
