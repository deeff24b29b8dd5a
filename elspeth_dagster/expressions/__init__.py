"""The expression language of gates and triggers: a small, safe part of Python over one name, `row`.

A condition is parsed with `ast` and turned into a tree that has no form for anything outside the language.
That tree alone is compiled, once per set of present keys, to a function over just the columns that it reads.
What an accepted expression means is what it means in Python, within the limits of `limits.py`.
"""

from elspeth_dagster.expressions.errors import EvaluationError, ExpressionError
from elspeth_dagster.expressions.expression import (
    TRIGGER_KEYS,
    Expression,
    check_trigger_expression,
    parse_expression,
)
from elspeth_dagster.expressions.labels import label_of, labels_of

__all__ = [
    "TRIGGER_KEYS",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "check_trigger_expression",
    "label_of",
    "labels_of",
    "parse_expression",
]
