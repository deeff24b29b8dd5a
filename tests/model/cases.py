"""Random cases: whatever the settings format can say, over whatever a source can find."""

import re
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from model.data import Columns, columns, data_of, rarely

Settings = dict[str, Any]

MAX_NODES = 8
LOAD_ERRORS_BY_CHANCE = re.compile(
    "takes rows of|all have the header|has no way to write|which has no route|both mapped"
)
"""What may be wrong with random settings: neighbours whose schemas do not go together, and the like."""

PLAIN = ("a", "b", "c", "n")


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        settings: A settings file's content.
        data: What the source's file holds.
        chunk_rows: At how many rows a chunk closes, `None` for all.
        shards: Number of shards.
        limit: Read at most so many records.
    """

    settings: Settings
    data: bytes
    chunk_rows: int | None
    shards: int
    limit: int | None


@st.composite
def cases(draw: DrawFn) -> Case:
    """Settings, input and how it is cut."""
    found = draw(columns())
    settings = draw(_settings(found))
    data = draw(data_of(found, settings["source"]["options"]))
    chunk_rows = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 1000, None]))
    limit = draw(st.integers(1, 10)) if rarely(draw) else None
    return Case(settings, data, chunk_rows, draw(st.sampled_from([1, 1, 2, 3])), limit)


def _maybe(
    options: dict[str, Any], draw: DrawFn, key: str, values: SearchStrategy[Any], often: int = 3
) -> None:
    """Sets a key once in a while."""
    if rarely(draw, often):
        options[key] = draw(values)


# --- settings --------------------------------------------------------------------------------------------


@st.composite
def _settings(draw: DrawFn, found: Columns) -> Settings:
    sinks = {f"s{n}": draw(_sink(f"s{n}", found.fields)) for n in range(draw(st.integers(1, 5)))}
    source = draw(_source(found, list(sinks)))
    typed = found.source != "csv" or "schema" in source["options"]
    kinds = found.fields if typed else dict.fromkeys(found.fields, "text")
    graph = _Graph(draw, list(sinks), kinds, list(found.kinds))
    source["on_success"] = graph.connection(0)
    graph.grow()
    settings = {"source": source, "transforms": graph.transforms, "gates": graph.gates, "sinks": sinks}
    return _without_unused(settings)


class _Graph:
    """Transforms and gates behind the source, each made when a connection is wanted."""

    def __init__(self, draw: DrawFn, sinks: list[str], kinds: dict[str, str], headers: list[str]) -> None:
        self.draw = draw
        self.sinks = sinks
        self.kinds = kinds
        self.fields = [*kinds, *kinds, *headers, *headers, *PLAIN]
        self.transforms: list[Settings] = []
        self.gates: list[Settings] = []
        self.open: list[tuple[str, int]] = []
        self.nodes_left = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, MAX_NODES, MAX_NODES]))

    def connection(self, depth: int) -> str:
        """The name of a sink, or of a connection that a node is to be made for."""
        if self.nodes_left and (depth == 0 or not rarely(self.draw, 5)):
            self.nodes_left -= 1
            name = f"c{self.nodes_left}"
            self.open.append((name, depth + 1))
            return name
        return self.draw(st.sampled_from(self.sinks))

    def grow(self) -> None:
        while self.open:
            name, depth = self.open.pop(0)
            if self.draw(st.booleans()):
                self.gates.append(self._gate(name, depth))
            else:
                self.transforms.append(self._transform(name, depth))

    def _error_sink(self) -> str:
        return self.draw(st.sampled_from([*self.sinks[-2:], "discard"]))

    def _transform(self, connection: str, depth: int) -> Settings:
        plugin, options = self.draw(_transform(self.fields))
        return {
            "name": f"t_{connection}",
            "plugin": plugin,
            "input": connection,
            "on_success": self.connection(depth),
            "on_error": self._error_sink(),
            "options": options,
        }

    def _gate(self, connection: str, depth: int) -> Settings:
        condition, labels = self.draw(_condition(self.fields, self.kinds))
        ways = [self.connection(depth) for _ in range(min(len(labels), 3))]
        routes = {label: self.draw(st.sampled_from(ways)) for label in labels}
        routes |= dict(zip(labels, ways, strict=False))
        gate: Settings = {
            "name": f"g_{connection}",
            "input": connection,
            "condition": condition,
            "routes": routes,
        }
        if self.draw(st.booleans()):
            gate["on_error"] = self._error_sink()
        return gate


def _without_unused(settings: Settings) -> Settings:
    """Leaves out the sinks that nothing leads to, and write failures that lead in circles."""
    sinks, source = settings["sinks"], settings["source"]
    used = {source["on_success"], source["options"].get("on_validation_failure")}
    for node in settings["transforms"]:
        used |= {node["on_success"], node["on_error"]}
    for gate in settings["gates"]:
        used |= {*gate["routes"].values(), gate.get("on_error")}
    failing = {name: sink.get("on_write_failure") for name, sink in sinks.items()}
    targets = {failing[name] for name in sinks if name in used}
    for name, sink in sinks.items():
        to = failing[name]
        if to == name or (to in sinks and name in targets):
            del sink["on_write_failure"]
    used |= {sinks[name].get("on_write_failure") for name in sinks if name in used}
    kept = {name: sink for name, sink in sinks.items() if name in used}
    return {**settings, "sinks": kept}


@st.composite
def _source(draw: DrawFn, found: Columns, sinks: list[str]) -> Settings:
    if found.source == "null":
        return {"plugin": "null", "options": {}}
    options: Settings = {"path": f"in.{found.source}"}
    options["on_validation_failure"] = draw(st.sampled_from([*sinks[-2:], "discard"]))
    if found.source == "csv":
        _maybe(options, draw, "delimiter", st.sampled_from([";", "\t", "|", "é"]), 6)
        _maybe(options, draw, "encoding", st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]), 6)
        _maybe(options, draw, "skip_rows", st.integers(1, 3), 12)
        _maybe(options, draw, "columns", st.just(list(found.fields)), 10)
        renames = st.dictionaries(
            st.sampled_from(list(found.fields)), st.sampled_from(["x", "y"]), max_size=1
        )
        _maybe(options, draw, "field_mapping", renames, 10)
    else:
        _maybe(options, draw, "format", st.sampled_from([found.source]), 4)
        if found.source == "json":
            _maybe(options, draw, "data_key", st.sampled_from(["rows", "a"]), 4)
    _maybe(options, draw, "schema", _schema(found.fields, whole=True), 2)
    return {"plugin": "csv" if found.source == "csv" else "json", "options": options}


_TYPES = {"text": "str", "number": "float", "small": "int", "bool": "bool"}


@st.composite
def _schema(draw: DrawFn, kinds: dict[str, str], *, whole: bool = False) -> Settings:
    """A schema block over some fields, mostly of their types."""
    names = [name for name in kinds if name.isidentifier()]
    if not names or rarely(draw, 6):
        return {"mode": "observed"}
    mode = draw(st.sampled_from(["fixed", "flexible", "flexible"]))
    if not (whole and mode == "fixed"):
        names = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    fields = []
    for name in names:
        kind = _TYPES.get(kinds[name], "any")
        if rarely(draw, 5):
            kind = draw(st.sampled_from(["int", "float", "str", "bool", "any"]))
        fields.append(f"{name}: {kind}{draw(st.sampled_from(['', '?', '?']))}")
    return {"mode": mode, "fields": fields}


@st.composite
def _sink(draw: DrawFn, name: str, kinds: dict[str, str]) -> Settings:
    plugin = draw(st.sampled_from(["csv", "csv", "json", "json", "parquet", "parquet"]))
    options: Settings = {}
    _maybe(options, draw, "schema", _schema({**kinds, "x": "text"}))
    _maybe(options, draw, "validate_input", st.booleans(), 4)
    headers = st.one_of(
        st.sampled_from(["normalized", "original", "original"]),
        st.dictionaries(
            st.sampled_from([*kinds, "x"]), st.sampled_from(["A", "B", "a", "b", "Ü"]), max_size=3
        ),
    ).filter(lambda option: isinstance(option, str) or len(set(option.values())) == len(option))
    _maybe(options, draw, "headers", headers, 3)
    suffix = plugin
    if plugin == "csv":
        _maybe(options, draw, "delimiter", st.sampled_from([";", "\t", "é"]), 5)
        _maybe(options, draw, "encoding", st.sampled_from(["latin-1", "utf-16", "utf-8-sig", "ascii"]), 5)
    if plugin == "json":
        suffix = draw(st.sampled_from(["json", "jsonl", "jsonl"]))
        _maybe(options, draw, "format", st.sampled_from(["json", "jsonl"]), 4)
        _maybe(options, draw, "indent", st.integers(0, 3), 3)
        _maybe(options, draw, "encoding", st.sampled_from(["utf-16", "ascii"]), 6)
    sink: Settings = {"plugin": plugin, "options": {"path": f"out/{name}.{suffix}", **options}}
    _maybe(sink, draw, "on_write_failure", st.sampled_from(["discard", "s0", "s1"]), 2)
    if sink.get("on_write_failure") not in {None, "discard"} and name <= sink["on_write_failure"]:
        sink["on_write_failure"] = "discard"
    return sink


@st.composite
def _transform(draw: DrawFn, fields: list[str]) -> tuple[str, Settings]:
    plugin = draw(
        st.sampled_from(["passthrough", "field_mapper", "field_mapper", "truncate", "keyword_filter"])
    )
    field = st.sampled_from(fields)
    options: Settings = {}
    if plugin in {"passthrough", "field_mapper"} and rarely(draw, 3):
        options["validate_input"] = draw(st.booleans())
        options["schema"] = draw(_schema(dict.fromkeys(fields, "text")))
    if plugin == "field_mapper":
        paths = st.one_of(field, field, st.sampled_from(["n.k", "n.k.l", "a.b", "n."]))
        targets = st.one_of(field, st.sampled_from(["x", "y", "zz", "n.k"]))
        mapping = draw(st.dictionaries(paths, targets, max_size=4))
        options["mapping"] = {s: t for s, t in mapping.items() if list(mapping.values()).count(t) == 1}
        _maybe(options, draw, "select_only", st.booleans())
        _maybe(options, draw, "strict", st.booleans())
    if plugin == "truncate":
        options["fields"] = draw(st.dictionaries(field, st.integers(2, 6), min_size=1, max_size=3))
        _maybe(options, draw, "suffix", st.sampled_from(["", "…", "."]))
        _maybe(options, draw, "strict", st.booleans())
    if plugin == "keyword_filter":
        named = st.lists(field, min_size=1, max_size=3, unique=True)
        options["fields"] = draw(st.one_of(st.just("all"), field.filter(lambda name: name != "all"), named))
        options["blocked_patterns"] = draw(st.lists(st.sampled_from(_PATTERNS), min_size=1, max_size=2))
    return plugin, options


_PATTERNS = ["x", "^a", r"\d\d", "(?i)HI", "é", r"\bfoo\b", "[0-9]{2}", r"\w$", "y|z", r"\s", "^$", "(?s)a.b"]
_BOOLEANS = [
    "row[{f}] > {v}",
    "row.get({f}) is None",
    "{f} in row",
    "len(str(row.get({f}, ''))) % 2 == 0",
    "row[{f}] == row.get({g})",
    "not row[{f}]",
    "bool(row.get({f}))",
    "1 < row[{f}] < 9",
    "row[{f}] in ['x', 1, None, True]",
    "float(row[{f}]) >= 0.5",
    "row[{f}] + row[{g}] != 2",
    "abs(row[{f}]) > 1",
    "row[{f}] in row[{g}]",
    "row[{f}] is not None and row[{f}] != ''",
    "{f} in row and {g} not in row",
    "row[{f}] < row[{g}] if row.get({f}) is not None else True",
    "int(row[{f}]) % 2 == 1",
    "True",
    "row[{f}] != {v}",
    "row.get({f}) != {v}",
    "row.get({f}, {v}) == {v}",
    "len(str(row.get({f}))) < 3",
    "bool(row.get({f})) or not row.get({g})",
    "row.get({f}) == {v} or row.get({g}) != 'x'",
    "str(row.get({f})) < 'm'",
]
_OTHERS = [
    "row[{f}]",
    "str(row.get({f}))",
    "row[{f}] // 2",
    "row[{f}] % 3",
    "'x' if row[{f}] else 'y'",
    "'x' if row.get({f}) else 'y'",
    "'None' if row.get({f}) == row.get({g}) else 'x'",
    "row[{f}] or 'd'",
    "row[{f}]['k']",
    "row[{f}][0]",
    "len(row[{f}])",
    "row.get({f}) and row[{g}]",
    "row.get({f}, row)",
    "row[{f}] / row[{g}]",
    "bool(row.get({f})) + 1",
    "-row[{f}]",
    "'x' if {f} in row else 'y'",
    "'low' if row.get({f}) is None else str(row[{f}])",
    "'true' if row.get({f}) == row.get({g}) else 'false'",
]
_LABELS = [
    "true",
    "false",
    "None",
    "0",
    "1",
    "2",
    "x",
    "y",
    "d",
    "1.0",
    "-1",
    "{}",
    "[]",
    "low",
    "é",
    "0.5",
]


@st.composite
def _condition(draw: DrawFn, fields: list[str], kinds: dict[str, str]) -> tuple[str, list[str]]:
    """A condition and the labels of its routes."""
    field, other = draw(st.sampled_from(fields)), draw(st.sampled_from(fields))
    literals = {"text": ["'b'", "'1'", "''"], "number": ["1", "0.5", "9007199254740993"], "small": ["0", "1"]}
    value = draw(st.sampled_from(literals.get(kinds.get(field, ""), ["1", "'x'", "None"])))
    names = {"f": repr(field), "g": repr(other), "v": value}
    if draw(st.booleans()):
        return _filled(draw(st.sampled_from(_BOOLEANS)), names), ["true", "false"]
    labels = draw(st.lists(st.sampled_from(_LABELS), min_size=2, max_size=8, unique=True))
    return _filled(draw(st.sampled_from(_OTHERS)), names), labels


def _filled(template: str, names: dict[str, str]) -> str:
    return re.sub(r"\{([fgv])\}", lambda match: names[match[1]], template)
