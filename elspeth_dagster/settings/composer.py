"""Builds plain data from YAML's events, so that every limit is met before anything grows past it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from elspeth_dagster.settings.errors import Problem, SettingsError
from elspeth_dagster.settings.locations import KeyPath, Mark, folded, key_path_text
from elspeth_dagster.settings.scalars import TAG_PREFIX, Scalar, ScalarError, plain_scalar, tagged_scalar

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_ALIASED_VALUES = 20_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser is ten times as fast
_MERGE_KEY = "<<"


@dataclass(frozen=True)
class _Anchored:
    """An anchor's value with what it adds to the limits each time that an alias repeats it."""

    value: Any
    values: int
    height: int


@dataclass
class Composer:
    """Composes the text of one file.

    Attributes:
        text: The file's content.
        file: The name that problems give.
        marks: The place of every key and list item met so far.
        problems: What is wrong without standing in the way of reading on.
        values: Number of values so far, those that aliases repeat included.
        aliased_values: Number of values that aliases repeated.
        deepest: The greatest depth met since the innermost open anchor.
        anchors: What each anchor stands for; None while its value is being composed.
    """

    text: str
    file: str
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    values: int = 0
    aliased_values: int = 0
    deepest: int = 0
    anchors: dict[str, _Anchored | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(self.text, Loader=_LOADER))

    def document(self) -> Any:
        """Compose the file's only document; None when there is none.

        Raises:
            SettingsError: A limit is exceeded, or what is there has no meaning as a settings file.
            yaml.YAMLError: It is not YAML.
        """
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        first = next(self._events)
        self._place((), first)
        data = self._compose(first, (), 1)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._refused(following, (), "a second document begins here; a settings file holds one")
        return data

    def _compose(self, event: Any, path: KeyPath, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        self.values += 1
        self.deepest = max(self.deepest, depth)
        if depth > MAX_DEPTH:
            raise self._refused(event, path[:3], f"nested more than {MAX_DEPTH} levels deep")
        if self.values > MAX_VALUES:
            raise self._refused(event, path, f"the file holds more than {MAX_VALUES:,} values")
        if event.anchor is None:
            return self._value(event, path, depth)
        return self._anchored(event, path, depth)

    def _anchored(self, event: Any, path: KeyPath, depth: int) -> Any:
        outside, self.deepest = self.deepest, depth
        before = self.values
        self.anchors[event.anchor] = None
        value = self._value(event, path, depth)
        self.anchors[event.anchor] = _Anchored(value, self.values - before + 1, self.deepest - depth)
        self.deepest = max(self.deepest, outside)
        return value

    def _alias(self, event: Any, path: KeyPath, depth: int) -> Any:
        if event.anchor not in self.anchors:
            raise self._refused(event, path, f"the alias *{event.anchor} has no anchor before it")
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise self._refused(event, path, f"the alias *{event.anchor} stands inside its own anchor")
        self.values += anchored.values
        self.aliased_values += anchored.values
        self.deepest = max(self.deepest, depth + anchored.height)
        if max(self.aliased_values - MAX_ALIASED_VALUES, self.values - MAX_VALUES) > 0:
            raise self._refused(event, path, f"aliases repeat more than {MAX_ALIASED_VALUES:,} values")
        if depth + anchored.height > MAX_DEPTH:
            raise self._refused(event, path[:3], f"nested more than {MAX_DEPTH} levels deep")
        return anchored.value

    def _value(self, event: Any, path: KeyPath, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        kind = "seq" if isinstance(event, yaml.SequenceStartEvent) else "map"
        if event.tag not in {None, "!", TAG_PREFIX + kind}:
            self._report(event, path, f"the tag {event.tag} is not accepted")
        return self._sequence(path, depth) if kind == "seq" else self._mapping(path, depth)

    def _scalar(self, event: Any, path: KeyPath) -> Scalar:
        try:
            if event.tag is not None:
                return tagged_scalar(event.tag, event.value)
            return plain_scalar(event.value) if event.implicit[0] else str(event.value)
        except ScalarError as error:
            self._report(event, path, str(error))
            return str(event.value)

    def _sequence(self, path: KeyPath, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            place = (*path, len(items))
            self._place(place, event)
            items.append(self._compose(event, place, depth + 1))
        return items

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        explicit: dict[str, Any] = {}
        merged: dict[str, tuple[Any, Any]] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value == _MERGE_KEY
            key = _MERGE_KEY if is_merge else self._key(event, path, depth)
            place = (*path, key)
            line = event.start_mark.line + 1
            if key in lines:
                self._report(event, place, f"the key is given twice; first in line {lines[key]}")
            self._place(place, event)
            value = self._compose(next(self._events), place, depth + 1)
            if is_merge:
                self._merge(event, place, value, merged)
            elif key not in lines:
                explicit[key] = value
            lines.setdefault(key, line)
        for key, (_, merge_event) in merged.items():
            self._place((*path, key), merge_event)
        return {key: value for key, (value, _) in merged.items()} | explicit

    def _merge(self, event: Any, place: KeyPath, value: Any, merged: dict[str, tuple[Any, Any]]) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                self._report(event, place, "'<<' takes a mapping, or a list of mappings")
                return
            for key, inherited in source.items():
                merged.setdefault(key, (inherited, event))

    def _key(self, event: Any, path: KeyPath, depth: int) -> str:
        key = self._compose(event, (*path, "?"), depth + 1)
        if isinstance(key, str):
            return key
        if isinstance(key, bool) and _is_routes(path):
            return "true" if key else "false"
        if isinstance(key, (dict, list)):
            raise self._refused(event, path, "a key that is a mapping or a list; keys are text")
        written = str(getattr(event, "value", key))
        self._report(event, (*path, written), f"keys are text; put {written or 'it'} in quotes")
        return written

    def _place(self, path: KeyPath, event: Any) -> None:
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        self.marks.setdefault(path, mark)

    def _report(self, event: Any, path: KeyPath, message: str) -> None:
        self.problems.append(self._problem(event, path, message))

    def _refused(self, event: Any, path: KeyPath, message: str) -> SettingsError:
        return SettingsError([*self.problems, self._problem(event, path, message)])

    def _problem(self, event: Any, path: KeyPath, message: str) -> Problem:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        return Problem(self.file, line, column, key_path_text(path), message)


def _is_routes(path: KeyPath) -> bool:
    return folded(path)[:1] == ("gates",) and folded(path)[2:] == ("routes",)
