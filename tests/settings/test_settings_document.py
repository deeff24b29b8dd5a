"""A file that is no settings file, in every way that we could think of, and what YAML's scalars mean."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.settings import SettingsError, load_settings
from elspeth_dagster.settings.document import parse_document
from elspeth_dagster.settings.reading import UnreadableError
from elspeth_dagster.settings.scalars import ScalarError, guessed_value, plain_scalar, tagged_scalar

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(10))}}}\n" for n in range(1, 10)
)


def message(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        load_settings(path, environ={})
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ": the file is empty; a pipeline has at least 'source' and 'sinks'"),
        (b"# nothing\n\n", ": the file is empty"),
        (b"---\n...\n", "the file is empty"),
        (b"- source\n- sinks\n", ":1: expected a mapping with at least 'source' and 'sinks', found a list"),
        (b"just text", ":1: expected a mapping with at least 'source' and 'sinks', found 'just text'"),
        (b"a: 1\n---\nb: 2\n", ":2: a second document begins here"),
        (b"a: 1\nb: [1, 2\n", ":3: not valid YAML: did not find expected ',' or ']'"),
        (b"a:\n\tb: 1\n", ":2: not valid YAML: found character that cannot start any token"),
        (b"a:\n\tb: 1\n", "indented with a tab, and YAML takes spaces only"),
        (b"a: 1\nb: @at\n", ":2: not valid YAML: found character that cannot start any token"),
        (b"a: @at\n", "put the value in quotes"),
        (
            b"a: {b: ${X}}\n",
            ":1: not valid YAML: did not find expected ',' or '}', while parsing a flow mapping",
        ),
        (b"a: {b: ${X}}\n", "; put the whole text that holds ${X} in quotes"),
        (b"a: {b: out/{partition}.csv}\n", "; put the whole text that holds {partition} in quotes"),
        (b"a:\n  b: {partition}.csv\n", "; put the whole text that holds {partition} in quotes"),
        (b"a: 'open\n", "while scanning a quoted scalar that begins in line 1"),
        (b"a: 1\n  b: 2\n", ":2: not valid YAML: mapping values are not allowed"),
        (b"ok: 1\nna\xffme: 1\n", ":2: is not UTF-8 text: byte 0xff at column 3"),
        (b"\xff\xfes\x00", ":1: is not UTF-8 text: byte 0xff at column 1"),
        (b"a: 1\nb: x\x00y\n", ":2: holds the control character U+0000 at column 5"),
        (b"a: \x1b[0m\n", ":1: holds the control character U+001B"),
        (b"a: *nowhere\n", ":1: a: the alias *nowhere has no anchor before it"),
        (b"a: &a\n  b: *a\n", ":2: a.b: the alias *a stands inside its own anchor"),
        (
            b"a: !!python/object/apply:os.system [ls]\n",
            "the tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        (b"a: !custom 5\n", ":1: a: the tag !custom is not accepted"),
        (b"a: !!int five\n", ":1: a: the value is not one for the tag !!int"),
        (b"a: 1e999\n", ":1: a: 1e999 is too large for a number"),
        (b"a: -.inf\n", ":1: a: -.inf is not a finite number"),
        (b"a: " + b"9" * 5000, ":1: a: a number of 5000 characters"),
        (b"? [a, b]\n: 1\n", "a key that is a mapping or a list; keys are text"),
        (b"1: a\n", ":1: 1: keys are text; put 1 in quotes"),
        (b"true: a\n", ":1: true: keys are text; put true in quotes"),
        (b"? \n: a\n", ":1: ['']: keys are text; put it in quotes"),
        (b'a: "\\ud800"\n', ":1: not valid YAML: found invalid Unicode character escape code"),
        (b"a: 1\n" * 2_100_000, ": has more than 1,048,576 bytes; that is the most that is read"),
        (b"[" * 1_000_000, "nested more than 64 levels deep"),
        (b"a: {" * 200_000, "nested more than 64 levels deep"),
        (b"- " * 500_000, "nested more than 64 levels deep"),
        (b"a: [" + b"1," * 500_000 + b"]", "the file holds more than 100,000 values"),
        (BOMB.encode(), "aliases repeat more than 20,000 values"),
        (MERGE_BOMB.encode(), "aliases repeat more than 20,000 values"),
    ],
)
def test_a_file_that_is_no_settings_file_says_why(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in message(tmp_path, content)


def test_what_stands_in_quotes_already_is_not_to_be_put_there(tmp_path: Path) -> None:
    told = message(tmp_path, b"a: {b: 'out/{partition}.csv', c: d e: f}\n")
    assert told.endswith("while parsing a flow mapping that begins in line 1")


def test_aliases_do_not_get_around_the_limit_of_depth(tmp_path: Path) -> None:
    chain = "a0: &a0 [[[[[[[[x]]]]]]]]\n" + "".join(f"a{n}: &a{n} [[[[*a{n - 1}]]]]\n" for n in range(1, 30))
    assert "nested more than 64 levels deep" in message(tmp_path, chain.encode())


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text("a: 1")

    def told(path: Path) -> str:
        with pytest.raises(SettingsError) as error:
            load_settings(path, environ={})
        return str(error.value)

    assert told(tmp_path) == f"{tmp_path}: expected a file, found a folder"
    assert (
        told(tmp_path / "order.yaml")
        == f"{tmp_path / 'order.yaml'}: no such file; did you mean 'orders.yaml'?"
    )
    assert f"there is no folder {tmp_path / 'no'}" in told(tmp_path / "no" / "a.yaml")
    assert "no such file" in told(tmp_path / "orders.yaml" / "a.yaml")
    assert "is not a regular file" in told(Path("/dev/zero"))
    assert "cannot be read" in told(tmp_path / ("x" * 500))


@pytest.mark.parametrize("other", ["workspace.yaml", "dagster.yaml", "constraints.txt"])
def test_what_holds_no_settings_is_not_suggested(tmp_path, other):
    (tmp_path / other).touch()
    message = refused(tmp_path / other[1:])
    assert message == f"{tmp_path / other[1:]}: no such file"


def test_a_folder_with_settings_is_answered_with_them(tmp_path):
    home = tmp_path / "parcels"
    home.mkdir()
    assert refused(home) == f"{home}: expected a file, found a folder"
    (home / "settings.yaml").touch()
    assert refused(home) == f"{home}: expected a file, found a folder; did you mean {home}/settings.yaml?"
    assert refused(tmp_path / "parcel").endswith("no such file; did you mean 'parcels'?")


def refused(path):
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return str(caught.value)


def test_duplicate_keys_are_all_named_with_both_lines(problems: Any) -> None:
    text = "source:\n  plugin: csv\n  plugin: json\nsinks: {}\nsinks: {}\n"
    found = problems(text)
    assert "3: source.plugin: the key is given twice; first in line 2" in found
    assert "5: sinks: the key is given twice; first in line 4" in found


def test_merge_keys_and_anchors(load: Any) -> None:
    settings = load(
        "source: {plugin: csv, on_success: t, options: {on_validation_failure: discard}}\n"
        "transforms:\n"
        "  - &base {name: a, plugin: p, input: t, on_success: u, on_error: discard, options: {x: 1}}\n"
        "  - <<: *base\n"
        "    name: b\n"
        "    input: u\n"
        "    on_success: out\n"
        "sinks: {out: {plugin: csv}}\n"
    )
    first, second = settings.transforms
    assert (second.name, second.input, second.plugin, second.options) == ("b", "u", "p", {"x": 1})
    assert first.input == "t"
    assert settings.problem((*second.path, "plugin"), "x").line == 4
    assert settings.problem((*second.path, "name"), "x").line == 5


def test_a_merge_key_takes_mappings_only(problems: Any) -> None:
    assert "2: source.<<: '<<' takes a mapping, or a list of mappings" in problems("source:\n  <<: 5\n")


def test_a_byte_order_mark_and_line_ends_of_windows(load: Any) -> None:
    text = "\ufeffsource: {plugin: 'null', on_success: out}\r\nsinks:\r\n  out: {plugin: csv}\r\n"
    settings = load(text)
    assert settings.source.plugin == "null"
    assert settings.problem(("sinks", "out"), "x").line == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("None", "None"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("5", 5),
        ("-3", -3),
        ("+3", 3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("2024-01-02", "2024-01-02"),
        ("@int 5", "@int 5"),
        ("9" * 4300, int("9" * 4300)),
    ],
)
def test_plain_scalars(text: str, value: Any) -> None:
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [
        ("!", "5", "5"),
        ("tag:yaml.org,2002:str", "true", "true"),
        ("tag:yaml.org,2002:int", "5", 5),
        ("tag:yaml.org,2002:float", "5", 5.0),
        ("tag:yaml.org,2002:bool", "true", True),
        ("tag:yaml.org,2002:null", "", None),
    ],
)
def test_tagged_scalars(tag: str, text: str, value: Any) -> None:
    found = tagged_scalar(tag, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("true", True),
        ("null", None),
        ("", ""),
        ("  ", "  "),
        ("abc", "abc"),
        (" abc ", " abc "),
        ('"5"', "5"),
        ("'5'", "5"),
        ("'", "'"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1.5}', {"a": 1.5}),
        ("[a-z]+", "[a-z]+"),
        ("[NaN]", "[NaN]"),
        ("[1e999]", "[1e999]"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_guessed_values_of_environment_variables(text: str, value: Any) -> None:
    assert guessed_value(text) == value


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_numbers_as_json_writes_them_are_read_back(number: float) -> None:
    assert plain_scalar(json.dumps(number)) == number


@given(st.text(max_size=30))
def test_a_plain_scalar_is_a_finite_number_a_word_or_itself(text: str) -> None:
    try:
        value = plain_scalar(text)
    except ScalarError:
        return
    assert value is None or isinstance(value, bool) or value == text or math.isfinite(value)  # type: ignore[arg-type]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text("abcü €\"'\n", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcü €", max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_json_is_read_as_what_it_says(value: Any) -> None:
    assert parse_document(json.dumps(value, ensure_ascii=False), "s.yaml").data == value


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    path = "s.yaml"
    try:
        document = parse_document(text, path)
    except (SettingsError, UnreadableError):
        return
    json.dumps(document.data)
