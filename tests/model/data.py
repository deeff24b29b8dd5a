"""Random input: what a source can find, mostly good and now and then broken."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

CSV_FIELDS = {
    "a": "a", "b": "b", "c": "c", "User ID": "user_id", "n": "n", "Größe": "größe",
    " Amount (USD) ": "amount_usd", "class": "class_", "n.k": "n_k",
}  # fmt: skip
"""Headers, and the fields that they become."""
JSON_FIELDS = ("a", "b", "c", "n", "User ID", "größe", "$elspeth", "🙂 key")
SOURCES = ("csv", "json", "jsonl", "null")
KINDS = ("text", "text", "number", "small", "small", "bool", "null", "object", "list", "mixed")


@dataclass(frozen=True)
class Columns:
    """What the records of a source mostly are.

    Attributes:
        source: One of `SOURCES`.
        kinds: Header or key to the kind of its values, one of `KINDS`.
    """

    source: str
    kinds: Mapping[str, str]

    @property
    def fields(self) -> dict[str, str]:
        """Field behind the boundary to the kind of its values."""
        if self.source != "csv":
            return dict(self.kinds)
        return {CSV_FIELDS[header]: kind for header, kind in self.kinds.items()}


@st.composite
def columns(draw: DrawFn) -> Columns:
    """A source and its columns."""
    source = draw(st.sampled_from(["csv", "jsonl", "json"])) if not rarely(draw, 40) else "null"
    pool = st.sampled_from(list(CSV_FIELDS) if source == "csv" else JSON_FIELDS)
    headers = draw(st.lists(pool, min_size=1, max_size=5, unique=True))
    return Columns(source, {header: draw(st.sampled_from(KINDS)) for header in headers})


def rarely(draw: DrawFn, often: int = 8) -> bool:
    """True once in so many times."""
    return draw(st.integers(0, often - 1)) == often - 1


def data_of(columns: Columns, options: Mapping[str, Any]) -> SearchStrategy[bytes]:
    """The source's file, for a source with these options."""
    if columns.source == "csv":
        return _csv_data(columns, options)
    if columns.source == "null":
        return st.just(b"")
    return _json_lines(columns) if columns.source == "jsonl" else _json_document(columns, options)


_ROWS = st.sampled_from([0, 1, 2, 3, 5, 8, 8, 10, 10, 12, 12, 14, 16, 16, 18, 20, 20, 24])

_TEXTS = [
    "", "", " ", "x", "y", "d", "foo", "hi", "héllo", "a,b", 'say "hi"', "line\nbreak", "\r", "é",
    "🙂 key", "naïve", "0", "1", "2", "-1", "-0", "1.0", "1.50", "007", "1_000", " 42 ", "+5", "1e3",
    ".5", "5.", "nan", "1e400", "1,5", "true", "Yes", "off", "None", "9007199254740993",
    "123456789012345678901234567890", "a\x00b", "\u2028", "%d", "1;2", "true", "false", "٣", "\ufeffx",
    "a\tb", "'", "0x10", "11111111111111111111",
]  # fmt: skip
_TEXT = st.one_of(st.sampled_from(_TEXTS), st.sampled_from(_TEXTS), st.text(max_size=6))


@st.composite
def _csv_data(draw: DrawFn, columns: Columns, options: Mapping[str, Any]) -> bytes:
    encoding, delimiter = options.get("encoding", "utf-8"), options.get("delimiter", ",")
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [draw(_TEXT).replace('"', "") for _ in range(options.get("skip_rows", 0))]
    if "columns" not in options and not rarely(draw, 30):
        lines.append(_csv_line(list(columns.kinds), delimiter, quoted=rarely(draw)))
    for _ in range(draw(_ROWS)):
        cells = [draw(_TEXT if rarely(draw, 10) else _cells_of(kind)) for kind in columns.kinds.values()]
        if rarely(draw, 16):
            cells = draw(st.sampled_from([cells[:-1], [*cells, "x"]]))
        line = _csv_line(cells, delimiter, quoted=draw(st.booleans()))
        if rarely(draw, 20):
            line = draw(
                st.sampled_from(
                    ["", " ", '"', 'x,"y', '"x"y', '"a"b"', 'x"y', '"a\nb', ",,,,,,", '""', "\x00"]
                )
            )
        lines.append(line)
    text = end.join(lines) + (end if draw(st.booleans()) else "")
    if encoding == "utf-8" and rarely(draw, 15):
        text = "\ufeff" + text
    data = text.encode(encoding, "replace") if encoding != "utf-8" else text.encode()
    if encoding in {"utf-8", "utf-8-sig"} and rarely(draw, 8):
        place = draw(st.integers(0, len(data)))
        data = (
            data[:place] + draw(st.sampled_from([b"\xff", b"\xc3", b'\x80"', b"\xed\xa0\x80"])) + data[place:]
        )
    return data


def _cells_of(kind: str) -> SearchStrategy[str]:
    """Cells as one column mostly has them."""
    words = {
        "number": [
            "0",
            "1",
            "-2.5",
            "1e3",
            "12",
            "",
            "9007199254740993",
            "123456789012345678901",
            " 42 ",
            "007",
        ],
        "small": ["0", "1", "2"],
        "bool": ["true", "false", "1", "no", "Yes", ""],
        "null": [""],
    }
    return st.sampled_from(words[kind]) if kind in words else _TEXT


def _csv_line(cells: list[str], delimiter: str, *, quoted: bool) -> str:
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
        "mixed": _NESTED,
    }[kind]


@st.composite
def _json_rows(draw: DrawFn, columns: Columns) -> list[str]:
    """Texts of records: most of one form, with gaps and now and then something else."""
    rows = []
    for _ in range(draw(_ROWS)):
        row = {name: draw(_values_of(kind)) for name, kind in columns.kinds.items() if not rarely(draw, 10)}
        row = {name: draw(_NESTED) if rarely(draw, 25) else value for name, value in row.items()}
        row = {name: None if rarely(draw, 10) else value for name, value in row.items()}
        if rarely(draw, 8):
            row = dict(reversed(row.items()))
        text = json.dumps(row, ensure_ascii=draw(st.booleans()))
        if rarely(draw, 20):
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
def _json_lines(draw: DrawFn, columns: Columns) -> bytes:
    lines = []
    for row in draw(_json_rows(columns)):
        lines.append(row)
        if rarely(draw, 20):
            lines.append(draw(st.sampled_from([*_BROKEN, "", " ", "\x0b", "\r"])))
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    data = (end.join(lines) + (end if draw(st.booleans()) else "")).encode()
    return draw(_damaged(data))


@st.composite
def _json_document(draw: DrawFn, columns: Columns, options: Mapping[str, Any]) -> bytes:
    rows = draw(_json_rows(columns))
    space = draw(st.sampled_from(["", " ", "\n", "\r\n  "]))
    text = "[" + space + ("," + space).join(rows) + space + "]"
    if "data_key" in options or rarely(draw, 20):
        before = draw(st.sampled_from(["", '"x": [1, 2], ', '"y": null, ']))
        behind = draw(st.sampled_from(["", ', "z": 1', ', "a": 3', ', "rows": []', ","]))
        key = options.get("data_key", "rows") if not rarely(draw) else "other"
        value = draw(st.sampled_from(["1", "{}", "null"])) if rarely(draw) else text
        text = f'{{{before}"{key}": {value}{behind}}}'
    if rarely(draw, 12):
        place = draw(st.integers(0, len(text)))
        text = draw(
            st.sampled_from(
                [text[:place], text + " x", text + "]", text[:place] + "," + text[place:], "", " "]
            )
        )
    if rarely(draw, 15) and text.endswith("]"):
        text = text[:-1] + "," + draw(st.sampled_from(_BROKEN)) + "]"
    return draw(_damaged(text.encode()))


@st.composite
def _damaged(draw: DrawFn, data: bytes) -> bytes:
    if not rarely(draw, 20):
        return data
    place = draw(st.integers(0, len(data)))
    return (
        data[:place] + draw(st.sampled_from([b"\xff", b"\xc3", b"\xe2\x82", b"\xef\xbb\xbf"])) + data[place:]
    )
