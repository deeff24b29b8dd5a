"""From a gate's result to the label that its routes are looked up by."""

from collections.abc import Iterable
from typing import Any

from elspeth_dagster.expressions.errors import EVALUATION_FAULTS, EvaluationError, evaluation_error
from elspeth_dagster.expressions.operations import to_text


def label_of(value: Any) -> str:
    """Gives the label of a result: `true` or `false`, a text itself, else the value's Python text.

    Raises:
        EvaluationError: The value's text would be over the limits of the language, or the value is a set of
            several items, whose text has no fixed order.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    try:
        return to_text(value)
    except EVALUATION_FAULTS as fault:
        raise evaluation_error(fault) from fault


def labels_of(results: Iterable[Any | EvaluationError]) -> list[str | EvaluationError]:
    """Gives the label of each result; an evaluation error stays in its place, or takes one."""
    known = {True: "true", False: "false"}
    return [known[result] if type(result) is bool else _label(result) for result in results]


def _label(result: Any) -> str | EvaluationError:
    if isinstance(result, EvaluationError):
        return result
    try:
        return label_of(result)
    except EvaluationError as error:
        return evaluation_error(error)
