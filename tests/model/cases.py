"""Random settings and random input: whatever the format can say, and whatever a source can find."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Settings = dict[str, Any]

MAX_NODES = 8
LOAD_ERRORS_BY_CHANCE = re.compile(
    "takes rows of|all have the header|has no way to write|which has no route|both mapped"
)
"""What may be wrong with random settings: neighbours whose schemas do not go together, and the like."""

CSV_HEADERS = ("a", "b", "c", "User ID", "n", "Größe", " Amount (USD) ", "class")
CSV_NAMES = ("a", "b", "c", "user_id", "n", "größe", "amount_usd", "class_")
JSON_NAMES = ("a", "b", "c", "n", "User ID", "größe", "$elspeth", "🙂 key")
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
    kind = draw(
        st.sampled_from(["csv", "csv", "json", "jsonl", "jsonl", "null"] if _rarely(draw) else _KINDS)
    )
    names = draw(_names(kind))
    settings = draw(_settings(kind, names))
    data = draw(_data(kind, settings["source"]["options"], names))
    chunk_rows = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 1000, None]))
    limit = draw(st.integers(0, 10)) if _rarely(draw) else None
    return Case(settings, data, chunk_rows, draw(st.sampled_from([1, 1, 2, 3])), limit)


_KINDS = ["csv", "json", "jsonl"]


def _rarely(draw: DrawFn, often: int = 8) -> bool:
    return draw(st.integers(0, often - 1)) == often - 1


def _maybe(
    options: dict[str, Any], draw: DrawFn, key: str, values: SearchStrategy[Any], often: int = 3
) -> None:
    """Sets a key once in a while."""
    if _rarely(draw, often):
        options[key] = draw(values)


# --- settings --------------------------------------------------------------------------------------------


@st.composite
def _names(draw: DrawFn, kind: str) -> tuple[str, ...]:
    """The headers or keys that records mostly have."""
    pool = CSV_HEADERS if kind == "csv" else JSON_NAMES
    chosen = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True))
    return tuple(chosen)


def _final(kind: str, names: tuple[str, ...]) -> list[str]:
    if kind != "csv":
        return list(names)
    return [CSV_NAMES[CSV_HEADERS.index(name)] for name in names]


@st.composite
def _settings(draw: DrawFn, kind: str, headers: tuple[str, ...]) -> Settings:
    fields = _final(kind, headers)
    every = list(dict.fromkeys([*fields, *headers, *PLAIN]))
    sinks = {f"s{n}": draw(_sink(f"s{n}", fields)) for n in range(draw(st.integers(1, 5)))}
    graph = _Graph(draw, list(sinks), every)
    source = draw(_source(kind, headers, fields, list(sinks)))
    source["on_success"] = graph.connection(0)
    graph.grow()
    settings = {"source": source, "transforms": graph.transforms, "gates": graph.gates, "sinks": sinks}
    return _without_unused(settings)


class _Graph:
    """Transforms and gates behind the source, each made when a connection is wanted."""

    def __init__(self, draw: DrawFn, sinks: list[str], fields: list[str]) -> None:
        self.draw = draw
        self.sinks = sinks
        self.fields = fields
        self.transforms: list[Settings] = []
        self.gates: list[Settings] = []
        self.open: list[tuple[str, int]] = []
        self.nodes_left = draw(st.integers(0, MAX_NODES))

    def connection(self, depth: int) -> str:
        """The name of a sink, or of a connection that a node is to be made for."""
        if self.nodes_left and not _rarely(self.draw, 3):
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
        return self.draw(st.sampled_from([*self.sinks, "discard"]))

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
        condition, labels = self.draw(_condition(self.fields))
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
def _source(
    draw: DrawFn, kind: str, headers: tuple[str, ...], fields: list[str], sinks: list[str]
) -> Settings:
    if kind == "null":
        return {"plugin": "null", "options": {}}
    options: Settings = {"path": f"in.{kind}"}
    options["on_validation_failure"] = draw(st.sampled_from([*sinks, "discard"]))
    if kind == "csv":
        _maybe(options, draw, "delimiter", st.sampled_from([";", "\t", "|", "é"]), 6)
        _maybe(options, draw, "encoding", st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]), 6)
        _maybe(options, draw, "skip_rows", st.integers(1, 3), 8)
        identifiers = [name for name in fields if name != "class"]
        if _rarely(draw):
            options["columns"] = identifiers
        if _rarely(draw):
            options["field_mapping"] = {
                draw(st.sampled_from(fields)): draw(st.sampled_from(["x", "y", "zz"]))
            }
    else:
        _maybe(options, draw, "format", st.sampled_from([kind]), 4)
        if kind == "json":
            _maybe(options, draw, "data_key", st.sampled_from(["rows", "a"]), 4)
    declared = [name for name in fields if name.isidentifier()]
    _maybe(options, draw, "schema", _schema(declared), 2)
    return {"plugin": "csv" if kind == "csv" else "json", "options": options}


@st.composite
def _schema(draw: DrawFn, names: list[str]) -> Settings:
    """A schema block over some names."""
    names = [name for name in names if name.isidentifier()]
    if not names or _rarely(draw, 4):
        return {"mode": "observed"}
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    kinds = st.sampled_from(
        ["int", "float", "str", "bool", "any", "int?", "float?", "str?", "bool?", "any?", "str"]
    )
    mode = draw(st.sampled_from(["fixed", "flexible", "flexible"]))
    block: Settings = {"mode": mode, "fields": [f"{name}: {draw(kinds)}" for name in chosen]}
    return block


@st.composite
def _sink(draw: DrawFn, name: str, fields: list[str]) -> Settings:
    plugin = draw(st.sampled_from(["csv", "csv", "json", "json", "parquet"]))
    options: Settings = {}
    _maybe(options, draw, "schema", _schema([*fields, "x"]))
    _maybe(options, draw, "validate_input", st.booleans(), 4)
    headers = st.one_of(
        st.sampled_from(["normalized", "original", "original"]),
        st.dictionaries(
            st.sampled_from([*fields, "x"]), st.sampled_from(["A", "B", "a", "b", "Ü"]), max_size=3
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
    if plugin in {"passthrough", "field_mapper"} and _rarely(draw, 3):
        options["validate_input"] = draw(st.booleans())
        options["schema"] = draw(_schema(fields))
    if plugin == "field_mapper":
        paths = st.one_of(field, field, st.sampled_from(["n.k", "n.k.l", "a.b", "n."]))
        targets = st.one_of(field, st.sampled_from(["x", "y", "zz", "n.k"]))
        mapping = draw(st.dictionaries(paths, targets, max_size=4))
        options["mapping"] = {s: t for s, t in mapping.items() if list(mapping.values()).count(t) == 1}
        _maybe(options, draw, "select_only", st.booleans())
        _maybe(options, draw, "strict", st.booleans())
    if plugin == "truncate":
        options["fields"] = draw(st.dictionaries(field, st.integers(2, 6), max_size=3))
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
]
_OTHERS = [
    "row[{f}]",
    "str(row.get({f}))",
    "row[{f}] // 2",
    "row[{f}] % 3",
    "'x' if row[{f}] else 'y'",
    "row[{f}] or 'd'",
    "row[{f}]['k']",
    "row[{f}][0]",
    "len(row[{f}])",
    "row.get({f}) and row[{g}]",
    "row.get({f}, row)",
    "row[{f}] / row[{g}]",
    "bool(row.get({f})) + 1",
    "[row[{f}], 1][0] if False else -row[{f}]",
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
    "very long label",
    "é",
    "0.5",
]


@st.composite
def _condition(draw: DrawFn, fields: list[str]) -> tuple[str, list[str]]:
    """A condition and the labels of its routes."""
    names = {"f": repr(draw(st.sampled_from(fields))), "g": repr(draw(st.sampled_from(fields)))}
    names["v"] = draw(st.sampled_from(["1", "'b'", "0.5", "None", "9007199254740993"]))
    if draw(st.booleans()):
        return _filled(draw(st.sampled_from(_BOOLEANS)), names), ["true", "false"]
    labels = draw(st.lists(st.sampled_from(_LABELS), min_size=1, max_size=6, unique=True))
    condition = draw(st.sampled_from([other for other in _OTHERS if "[row" not in other]))
    return _filled(condition, names), labels


def _filled(template: str, names: dict[str, str]) -> str:
    return re.sub(r"\{([fgv])\}", lambda match: names[match[1]], template)


# --- data ------------------------------------------------------------------------------------------------

_TEXTS = [
    "", "", " ", "x", "y", "d", "foo", "hi", "héllo", "a,b", 'say "hi"', "line\nbreak", "\r", "é",
    "🙂 key", "naïve", "0", "1", "2", "-1", "-0", "1.0", "1.50", "007", "1_000", " 42 ", "+5", "1e3",
    ".5", "5.", "nan", "1e400", "1,5", "true", "Yes", "off", "None", "9007199254740993",
    "123456789012345678901234567890", "a\x00b", "\u2028", "%d", "1;2", "true", "false", "٣", "\ufeffx",
    "a\tb", "'", "0x10", "11111111111111111111",
]  # fmt: skip
_TEXT = st.one_of(st.sampled_from(_TEXTS), st.sampled_from(_TEXTS), st.text(max_size=6))


def _data(kind: str, options: Settings, names: tuple[str, ...]) -> SearchStrategy[bytes]:
    if kind == "null":
        return st.just(b"")
    if kind == "csv":
        return _csv_data(options, names)
    return _json_lines() if kind == "jsonl" else _json_document(options)


@st.composite
def _csv_data(draw: DrawFn, options: Settings, names: tuple[str, ...]) -> bytes:
    encoding, delimiter = options.get("encoding", "utf-8"), options.get("delimiter", ",")
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [draw(_TEXT).replace('"', "") for _ in range(options.get("skip_rows", 0))]
    if "columns" not in options and not _rarely(draw, 30):
        lines.append(_csv_line(names, delimiter, quoted=_rarely(draw)))
    for _ in range(draw(st.integers(0, 16))):
        width = len(names) + (draw(st.integers(-1, 1)) if _rarely(draw) else 0)
        line = _csv_line([draw(_TEXT) for _ in range(width)], delimiter, quoted=draw(st.booleans()))
        if _rarely(draw, 12):
            line = draw(
                st.sampled_from(
                    ["", " ", '"', 'x,"y', '"x"y', '"a"b"', 'x"y', '"a\nb', ",,,,,,", '""', "\x00"]
                )
            )
        lines.append(line)
    text = end.join(lines) + (end if draw(st.booleans()) else "")
    if encoding == "utf-8" and _rarely(draw, 15):
        text = "\ufeff" + text
    data = text.encode(encoding, "replace") if encoding != "utf-8" else text.encode()
    if encoding in {"utf-8", "utf-8-sig"} and _rarely(draw, 8):
        place = draw(st.integers(0, len(data)))
        data = (
            data[:place] + draw(st.sampled_from([b"\xff", b"\xc3", b'\x80"', b"\xed\xa0\x80"])) + data[place:]
        )
    return data


def _csv_line(cells: tuple[str, ...] | list[str], delimiter: str, *, quoted: bool) -> str:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerow(cells)
    return text.getvalue()[:-1]


_NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from(
        [0.0, -0.0, 1.0, 0.5, 1.5, 1e300, 5e-324, 1e16, 1e22, 123456.789, 2**53, 2**53 + 1, 2**63, -(2**63)]
    ),
    st.sampled_from([2**64, 10**30, 10**400, -(10**25)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _NUMBERS, _TEXT, _TEXT)
_NESTED = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["k", "l", "$elspeth", "é", "b"]), inner, max_size=3),
    ),
    max_leaves=5,
)


def _values_of(kind: str) -> SearchStrategy[Any]:
    """Values as one column mostly has them."""
    return {
        "text": _TEXT,
        "number": _NUMBERS,
        "small": st.integers(0, 2),
        "bool": st.booleans(),
        "null": st.none(),
        "object": st.dictionaries(st.sampled_from(["k", "l"]), _NESTED, max_size=2),
        "list": st.lists(_SCALARS, max_size=2),
    }[kind]


@st.composite
def _json_rows(draw: DrawFn) -> list[str]:
    """Texts of records: most of one form, with gaps and now and then something else."""
    names = draw(st.lists(st.sampled_from(JSON_NAMES), min_size=1, max_size=5, unique=True))
    kinds = ["text", "text", "number", "small", "small", "bool", "null", "object", "list"]
    columns = {name: draw(st.sampled_from(kinds)) for name in names}
    rows = []
    for _ in range(draw(st.integers(0, 16))):
        row = {name: draw(_values_of(kind)) for name, kind in columns.items() if not _rarely(draw, 6)}
        row = {name: draw(_NESTED) if _rarely(draw, 12) else value for name, value in row.items()}
        row = {name: None if _rarely(draw, 10) else value for name, value in row.items()}
        if _rarely(draw, 8):
            row = dict(reversed(row.items()))
        text = json.dumps(row, ensure_ascii=draw(st.booleans()))
        if _rarely(draw, 14):
            text = draw(st.sampled_from(list(_odd_records())))
        rows.append(text)
    return rows


def _odd_records() -> Iterator[str]:
    yield from ("1", "null", '"x"', "[1, {}]", "{}", '{"a": 1e999}', '{"a": [-1e999, 1]}', '{"a": "\\ud800"}')
    yield from (
        '{"a": "\\ud83d\\ude42"}',
        '{"\\udc00": 1}',
        '{"a": 1, "a": 2, "b": 3, "a": "x"}',
        "1e999",
        '{"n": {}}',
    )
    yield from ('{"a": ' + "9" * 5000 + "}", '{"a": -0, "b": -0.0}', '{"a": ' + "[" * 199 + "]" * 199 + "}")
    yield from (
        '{"a": ' + "[" * 200 + "]" * 200 + "}",
        '  {"a": 1}  ',
        '{"$elspeth": ["object", {}]}',
        '{"": 1}',
    )


_BROKEN = [
    "{",
    '{"a": 1',
    "NaN",
    '{"a": NaN}',
    "x",
    "'a'",
    '{"a": 1}}',
    '{"a" 1}',
    "{,}",
    "[",
    "]",
    "\ufeff{}",
    "01",
    '"\t"',
]


@st.composite
def _json_lines(draw: DrawFn) -> bytes:
    lines = []
    for row in draw(_json_rows()):
        lines.append(row)
        if _rarely(draw, 14):
            lines.append(draw(st.sampled_from([*_BROKEN, "", " ", "\x0b", "\r"])))
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    data = (end.join(lines) + (end if draw(st.booleans()) else "")).encode()
    return draw(_damaged(data))


@st.composite
def _json_document(draw: DrawFn, options: Settings) -> bytes:
    rows = draw(_json_rows())
    space = draw(st.sampled_from(["", " ", "\n", "\r\n  "]))
    text = "[" + space + ("," + space).join(rows) + space + "]"
    if "data_key" in options or _rarely(draw, 20):
        before = draw(st.sampled_from(["", '"x": [1, 2], ', '"y": null, ']))
        behind = draw(st.sampled_from(["", ', "z": 1', ', "a": 3', ', "rows": []', ","]))
        key = options.get("data_key", "rows") if not _rarely(draw) else "other"
        value = draw(st.sampled_from(["1", "{}", "null"])) if _rarely(draw) else text
        text = f'{{{before}"{key}": {value}{behind}}}'
    if _rarely(draw, 6):
        place = draw(st.integers(0, len(text)))
        text = draw(
            st.sampled_from(
                [text[:place], text + " x", text + "]", text[:place] + "," + text[place:], "", " "]
            )
        )
    if _rarely(draw, 10) and text.endswith("]"):
        text = text[:-1] + "," + draw(st.sampled_from(_BROKEN)) + "]"
    return draw(_damaged(text.encode()))


@st.composite
def _damaged(draw: DrawFn, data: bytes) -> bytes:
    if not _rarely(draw, 12):
        return data
    place = draw(st.integers(0, len(data)))
    return (
        data[:place] + draw(st.sampled_from([b"\xff", b"\xc3", b"\xe2\x82", b"\xef\xbb\xbf"])) + data[place:]
    )
