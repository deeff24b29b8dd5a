"""Source bytes to records: every anomaly of the settings reference, section 2, as section 10 changes it."""

import json
import keyword
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from model.values import MOST_DIGITS, Row, can_be_held, salvaged


class SourceRefused(Exception):  # noqa: N818 - nothing went wrong: the model expects the run to fail
    """The source cannot be read at all: the run fails."""


@dataclass
class Record:
    """One record: either a value or what the quarantine sink gets in its place.

    Attributes:
        value: The cells or the JSON value as received.
        shown: For a record that could not be read: what is shown of it.
        originals: Field to its header in the file.
        header: The same for every record of a file, read or not.
    """

    value: Any = None
    shown: Row | None = None
    originals: dict[str, str] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)


def read_records(source: Mapping[str, Any], data: bytes) -> list[Record]:
    """Everything that a source yields, in order."""
    options = source.get("options") or {}
    if source["plugin"] == "null":
        return []
    if source["plugin"] == "csv":
        return list(_csv(options, _as_utf8(data, options)))
    return list(_json(options, _as_utf8(data, options)))


def _as_utf8(data: bytes, options: Mapping[str, Any]) -> bytes:
    encoding = options.get("encoding", "utf-8")
    if encoding == "utf-8":
        return data
    if encoding == "utf-8-sig":
        return data.removeprefix(b"\xef\xbb\xbf")
    return data.decode(encoding).encode()


# --- CSV -------------------------------------------------------------------------------------------------


@dataclass
class _Cut:
    """A record in the text; one character stands for one byte."""

    content: str
    end: int
    cells: list[str] | None
    """`None` when a quote is never closed."""


def _csv(options: Mapping[str, Any], data: bytes) -> Iterator[Record]:
    delimiter = options.get("delimiter", ",").encode().decode("latin-1")
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    cuts = list(_csv_cuts(text, delimiter))
    skipped = options.get("skip_rows", 0)
    if len(cuts) < skipped:
        return
    line = sum(_lines(cut) for cut in cuts[:skipped])
    cuts = cuts[skipped:]
    columns = options.get("columns")
    if columns is None:
        while cuts and cuts[0].content == "":
            line += 1
            cuts = cuts[1:]
        if not cuts:
            return
        header, cuts = cuts[0], cuts[1:]
        line += _lines(header)
        broken = _broken_header(header, line, options)
        if broken is not None:
            yield broken
            return
        originals = [_utf8(cell) for cell in header.cells or ()]
        names = _normalised(originals)
    else:
        originals = names = list(columns)
    names = _mapped(names, options.get("field_mapping") or {})
    by_name = dict(zip(names, originals, strict=True))
    number = 0
    for cut in cuts:
        line += _lines(cut)
        if cut.content == "":
            continue
        number += 1
        record = _csv_record(cut, names, by_name, {"__line_number__": line, "__row_number__": number})
        yield replace(record, header=by_name)


def _csv_cuts(text: str, delimiter: str) -> Iterator[_Cut]:
    at = 0
    while at < len(text):
        cut = _csv_cut(text, at, delimiter)
        yield cut
        at = cut.end


def _csv_cut(text: str, start: int, delimiter: str) -> _Cut:
    cells = []
    at = start
    while True:
        cell = ""
        if text[at : at + 1] == '"':
            quote = at
            at += 1
            while True:
                closing = text.find('"', at)
                if closing < 0:
                    end = _line_end(text, quote)
                    return _Cut(text[start:end], _behind_line_end(text, end), None)
                cell += text[at:closing]
                at = closing + 1
                if text[at : at + 1] != '"':
                    break
                cell += '"'
                at += 1
        while at < len(text) and text[at] not in "\r\n" and not text.startswith(delimiter, at):
            cell += text[at]
            at += 1
        cells.append(cell)
        if not text.startswith(delimiter, at):
            return _Cut(text[start:at], _behind_line_end(text, at), cells)
        at += len(delimiter)


def _line_end(text: str, at: int) -> int:
    while at < len(text) and text[at] not in "\r\n":
        at += 1
    return at


def _behind_line_end(text: str, at: int) -> int:
    if text.startswith("\r\n", at):
        return at + 2
    return min(at + 1, len(text))


def _lines(cut: _Cut) -> int:
    return len(re.findall("\r\n|\r|\n", cut.content)) + 1


def _csv_record(cut: _Cut, names: list[str], originals: dict[str, str], place: dict[str, int]) -> Record:
    raw = cut.content.encode("latin-1")
    try:
        content = raw.decode()
    except UnicodeDecodeError:
        return Record(shown={"__raw_bytes_hex__": raw.hex(), **place})
    if cut.cells is None or len(cut.cells) != len(names):
        return Record(shown={"__raw_line__": content, **place})
    return Record(dict(zip(names, map(_utf8, cut.cells), strict=True)), originals=originals)


def _utf8(octets: str) -> str:
    return octets.encode("latin-1").decode()


def _broken_header(cut: _Cut, line: int, options: Mapping[str, Any]) -> Record | None:
    raw = cut.content.encode("latin-1")
    shown = {"file_path": options["path"], "__line_number__": line}
    try:
        content = raw.decode()
    except UnicodeDecodeError:
        encoding = options.get("encoding", "utf-8")
        return Record(shown={**shown, "__encoding__": encoding, "__raw_bytes_hex__": raw.hex()})
    return Record(shown={**shown, "__raw_line__": content}) if cut.cells is None else None


def _normalised(cells: list[str]) -> list[str]:
    names = []
    for position, cell in enumerate(cells):
        cells[position] = cell.removeprefix("\ufeff")
        name = unicodedata.normalize("NFC", cells[position]).strip().lower()
        name = re.sub(r"\W+", "_", name)
        name = re.sub("_+", "_", name).strip("_")
        if name[:1].isdigit():
            name = "_" + name
        if keyword.iskeyword(name):
            name += "_"
        if not name.isidentifier():
            raise SourceRefused(f"header {cell!r}")
        names.append(name)
    if len(set(names)) < len(names):
        raise SourceRefused("two headers give one name")
    return names


def _mapped(names: list[str], mapping: Mapping[str, str]) -> list[str]:
    if not set(mapping) <= set(names):
        raise SourceRefused("field_mapping names a column that is not there")
    renamed = [mapping.get(name, name) for name in names]
    if len(set(renamed)) < len(renamed):
        raise SourceRefused("field_mapping gives one name to two columns")
    return renamed


# --- JSON ------------------------------------------------------------------------------------------------


def _json(options: Mapping[str, Any], data: bytes) -> Iterator[Record]:
    lines = options.get("format", "jsonl" if options["path"].lower().endswith(".jsonl") else "json")
    if lines == "jsonl":
        yield from _json_lines(data)
        return
    document = _Document(data.decode("utf-8", "surrogateescape"))
    try:
        for text, line in document.elements(options.get("data_key")):
            yield _json_element(text, line)
    except _StructureError as error:
        yield Record(shown={"file_path": options["path"], "structure_error": str(error)})
    except _TextError as error:
        yield Record(shown={"file_path": options["path"], "error": str(error)})


def _json_lines(data: bytes) -> Iterator[Record]:
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        raw = line.removesuffix(b"\r")
        if not raw.strip():
            continue
        place = {"__line_number__": number}
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            yield Record(shown={"__raw_bytes_hex__": raw.hex(), **place})
            continue
        try:
            value = json.loads(text, parse_constant=_refuse, parse_int=_integer)
        except (ValueError, RecursionError):
            yield Record(shown={"__raw_line__": text, **place})
            continue
        yield _json_value(value, text, number)


def _json_element(text: str, line: int) -> Record:
    raw = text.encode("utf-8", "surrogateescape")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return Record(shown={"__raw_bytes_hex__": raw.hex(), "__line_number__": line})
    return _json_value(json.loads(text, parse_int=_integer), text, line)


def _integer(digits: str) -> Any:
    return int(digits) if len(digits.removeprefix("-")) <= MOST_DIGITS else float("inf")


def _json_value(value: Any, text: str, line: int) -> Record:
    if not can_be_held(value):
        shown = salvaged(value)
        if not can_be_held(shown):
            return Record(shown={"__raw_line__": text, "__line_number__": line})
        return Record(shown=shown if isinstance(shown, dict) else {"_raw": shown})
    if not isinstance(value, dict):
        return Record(shown={"_raw": value})
    return Record(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


class _TextError(Exception):
    """The text is no JSON from here on."""


class _StructureError(_TextError):
    """It is JSON, but not with the array that is wanted."""


class _Document:
    """A JSON document in which one array's elements are looked at one by one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def elements(self, data_key: str | None) -> Iterator[tuple[str, int]]:
        if self.peek() == "\ufeff":
            raise self.error("Unexpected byte order mark (with encoding utf-8-sig it would be skipped)")
        if data_key is None:
            if self.peek() != "[":
                raise self.misplaced("expected an array at the root")
            yield from self.array()
        else:
            yield from self.object(data_key)
        self.end()

    def object(self, data_key: str) -> Iterator[tuple[str, int]]:
        if self.peek() != "{":
            raise self.misplaced(f"expected an object with the key {data_key!r} at the root")
        self.at += 1
        found, wrong = False, f"the root has no key {data_key!r}"
        more = self.peek() != "}"
        if not more:
            self.at += 1
        while more:
            if self.peek() != '"':
                raise self.error("Expecting property name enclosed in double quotes")
            key = json.loads(self.value())
            self.take(":")
            if key != data_key:
                self.value()
            elif found:
                raise _StructureError(str(self.error(f"the key {key!r} occurs again")))
            elif self.peek() == "[":
                yield from self.array()
                found = True
            else:
                wrong = f"expected an array under the key {key!r}, found {self.kind()}"
                self.value()
            more = self.another("}")
        if not found:
            self.end()
            raise _StructureError(wrong)

    def array(self) -> Iterator[tuple[str, int]]:
        self.at += 1
        more = self.peek() != "]"
        if not more:
            self.at += 1
        while more:
            text = self.value()
            yield text, self.text.count("\n", 0, self.at) + 1
            more = self.another("]")

    def peek(self) -> str:
        while self.text[self.at : self.at + 1] in {" ", "\t", "\n", "\r"}:
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, mark: str) -> None:
        if self.peek() != mark:
            raise self.error(f"Expecting {mark!r} delimiter" if mark != ":" else "Expecting ':'")
        self.at += 1

    def another(self, closing: str) -> bool:
        mark = self.peek()
        if mark == "" or mark not in "," + closing:
            raise self.error("Expecting ',' delimiter")
        self.at += 1
        return mark == ","

    def value(self) -> str:
        """Moves over a value; gives its text."""
        self.peek()
        start = self.at
        try:
            _, self.at = _WALKER.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            raise self.error(error.msg, error.pos) from None
        except ValueError as error:
            raise self.error(f"{error} is no JSON value") from None
        return self.text[start : self.at]

    def end(self) -> None:
        if self.peek():
            raise self.error("Extra data")

    def misplaced(self, what: str) -> _TextError:
        kind = self.kind()
        self.value()
        self.end()
        return _StructureError(f"{what}, found {kind}")

    def kind(self) -> str:
        words = {"{": "an object", "[": "an array", '"': "text", "t": "true", "f": "false", "n": "null"}
        return words.get(self.peek(), "a number")

    def error(self, what: str, at: int | None = None) -> _TextError:
        before = self.text[: self.at if at is None else at]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        byte = len(before.encode("utf-8", "surrogateescape"))
        return _TextError(f"{what}: line {line} column {column} (byte {byte})")


_WALKER = json.JSONDecoder(parse_constant=_refuse, parse_int=_integer)
