"""An accepted expression: what it reads, what it can give, and its value for rows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from types import MappingProxyType
from typing import Any

from elspeth_dagster.expressions.compile import Outcome, Program, compile_tree
from elspeth_dagster.expressions.errors import EvaluationError, ExpressionError
from elspeth_dagster.expressions.labels import labels_of
from elspeth_dagster.expressions.parse import ARGUMENT_COUNTS, Access, parse
from elspeth_dagster.expressions.tree import Node, is_static_boolean

TRIGGER_KEYS = frozenset({"batch_age_seconds", "batch_count"})
"""What an aggregation's trigger condition may read."""

_NO_ALIASES: Mapping[str, str] = MappingProxyType({})
# Each program is a few kilobytes. Rows of very many shapes must not add up.
_MOST_PROGRAMS = 256


@dataclass(frozen=True, eq=False)
class Expression:
    """An expression of the language, made by `parse_expression`.

    Attributes:
        text: The text as it was given.
        name: What the root is called in it.
        reads: The keys that it reads, as they are written, so possibly aliases; None when it may
            read any key.
        static_boolean: Whether its form alone makes every value of it a bool.
    """

    text: str
    name: str
    reads: frozenset[str] | None
    static_boolean: bool
    _tree: Node = field(repr=False)
    _accesses: tuple[Access, ...] = field(repr=False)
    _literal_keys: tuple[str, ...] = field(repr=False)
    _programs: dict[tuple[str | None, ...], Program] = field(default_factory=dict, repr=False)

    @property
    def is_constant(self) -> bool:
        """Whether it reads nothing, so that `evaluate({})` gives its value for every row."""
        return not self._accesses

    @property
    def possible_labels(self) -> frozenset[str] | None:
        """The labels that can occur, where its form alone tells: None where it does not.

        Of a constant expression the one label, or none when it has no value; of a statically boolean one
        `true` and `false`.
        """
        if self.is_constant:
            labels = labels_of(self.evaluate_columns({}, frozenset(), 1))
            return frozenset(label for label in labels if isinstance(label, str))
        return frozenset({"true", "false"}) if self.static_boolean else None

    def columns_read(
        self, present: frozenset[str], aliases: Mapping[str, str] = _NO_ALIASES
    ) -> frozenset[str]:
        """Gives those of the present keys whose columns `evaluate_columns` needs."""
        program = self._program(present, aliases)
        return present if program.takes_row else frozenset(program.keys)

    def evaluate(self, row: Mapping[str, Any], aliases: Mapping[str, str] = _NO_ALIASES) -> Any:
        """Gives the value for one row.

        Args:
            row: The row. It is never changed, but may be the result, or part of it.
            aliases: Other names of its keys. A key that the row does not have is looked up here.

        Raises:
            EvaluationError: There is no value for this row.
        """
        if not isinstance(row, dict):
            row = dict(row)
        program = self._program(row, aliases)
        values = [row[key] for key in program.keys]
        if program.takes_row:
            values.append(row)
        items = tuple(values) if len(values) > 1 else values[0] if values else None
        outcome = program.loop([items], _names(program, row, aliases), aliases)[0]
        if isinstance(outcome, EvaluationError):
            raise outcome
        return outcome

    def evaluate_columns(
        self,
        columns: Mapping[str, Sequence[Any]],
        present: frozenset[str],
        count: int,
        aliases: Mapping[str, str] = _NO_ALIASES,
    ) -> list[Outcome]:
        """Gives the value for each of many rows with the same keys, at the speed of a loop in Python.

        Args:
            columns: The rows' values by key, at least those of `columns_read`. When these are all of the
                present keys, their order here is that of the keys in the rows.
            present: The keys that these rows have. A key with a null value is present.
            count: How many rows.
            aliases: Other names of their keys. A key that is not present is looked up here.

        Returns:
            A value per row, or the `EvaluationError` why there is none.

        Raises:
            KeyError: A column that is needed is missing.
            ValueError: A column has not `count` values.
        """
        program = self._program(present, aliases)
        names = _names(program, present, aliases)
        if program.takes_nothing:
            return program.loop(range(min(count, 1)), names, aliases) * count
        needed: list[Iterable[Any]] = [_column(columns, key, count) for key in program.keys]
        if program.takes_row:
            needed.append(_rows(columns, present, count))
        items = needed[0] if len(needed) == 1 else zip(*needed, strict=True)
        return program.loop(items, names, aliases)

    def _program(self, present: Collection[str], aliases: Mapping[str, str]) -> Program:
        resolved = tuple([_resolve(key, present, aliases) for key in self._literal_keys])
        program = self._programs.get(resolved)
        if program is None:
            if len(self._programs) >= _MOST_PROGRAMS:
                self._programs.clear()
            program = compile_tree(self._tree, dict(zip(self._literal_keys, resolved, strict=True)))
            self._programs[resolved] = program
        return program


def parse_expression(text: str, *, name: str = "row") -> Expression:
    """Parses and checks an expression.

    Args:
        text: The expression.
        name: What it calls the mapping that it reads.

    Raises:
        ExpressionError: The text is not in the language.
        ValueError: `name` is no plain name, or that of a function of the language.
    """
    if not (name.isidentifier() and name.isascii()) or name in ARGUMENT_COUNTS:
        raise ValueError(f"{name!r} cannot be the name that an expression reads")
    parsed = parse(text, name)
    keys = [access.key for access in parsed.accesses]
    literal_keys = tuple(sorted({key for key in keys if key is not None}))
    return Expression(
        text=text,
        name=name,
        reads=None if None in keys else frozenset(literal_keys),
        static_boolean=is_static_boolean(parsed.node),
        _tree=parsed.node,
        _accesses=parsed.accesses,
        _literal_keys=literal_keys,
    )


def check_trigger_expression(expression: Expression) -> None:
    """Checks what is asked of an aggregation's trigger condition beyond the language.

    Raises:
        ExpressionError: It reads anything but the `TRIGGER_KEYS`, each by a literal key, or is not statically
            boolean.
    """
    name = expression.name
    allowed = " and ".join(f"{name}['{key}']" for key in sorted(TRIGGER_KEYS))
    for access in expression._accesses:  # noqa: SLF001 - this function is part of the class's module
        if access.key not in TRIGGER_KEYS:
            found = f"{name} by other than a literal key" if access.key is None else f"{name}[{access.key!r}]"
            reason = f"a trigger condition may read only {allowed}, not {found}"
            raise ExpressionError(expression.text, reason, access.offset)
    if not expression.static_boolean:
        reason = "a trigger condition must always be a bool: a comparison, 'not', bool(...), or these joined"
        raise ExpressionError(expression.text, reason)


def _resolve(key: str, present: Collection[str], aliases: Mapping[str, str]) -> str | None:
    """Gives the present key that a written key stands for."""
    if key in present:
        return key
    target = aliases.get(key)
    return target if target in present else None


def _names(program: Program, present: Iterable[str], aliases: Mapping[str, str]) -> dict[str, None]:
    """Gives what `in row` finds. A dict, because it refuses what a dict refuses: `[1] in row`."""
    if not program.takes_names:
        return {}
    names = dict.fromkeys(present)
    names.update(dict.fromkeys(alias for alias, key in aliases.items() if key in names))
    return names


def _column(columns: Mapping[str, Sequence[Any]], key: str, count: int) -> Sequence[Any]:
    column = columns[key]
    if len(column) != count:
        raise ValueError(f"column {key!r} has {len(column)} values for {count} rows")
    return column


def _rows(
    columns: Mapping[str, Sequence[Any]], present: frozenset[str], count: int
) -> Iterable[dict[str, Any]]:
    if absent := present - columns.keys():
        raise KeyError(min(absent))
    keys = [key for key in columns if key in present]
    if not keys:
        return ({} for _ in range(count))
    needed = [_column(columns, key, count) for key in keys]
    return map(dict, map(zip, repeat(keys), zip(*needed, strict=True)))
