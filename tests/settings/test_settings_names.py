"""Which names are accepted, and where: section 1.4 of the format."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.settings import names

RESERVED = {"continue", "fork", "on_success"}
likely = st.text("aZ09_- é.", max_size=70) | st.sampled_from(sorted({*RESERVED, "source", "discard", "__x"}))


def accepts(check: Any, text: str) -> bool:
    try:
        check(text)
    except names.InvalidNameError:
        return False
    return True


@given(likely)
def test_node_names(text: str) -> None:
    name = text.strip()
    wanted = bool(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]{0,37}", name)) and name not in {*RESERVED, "source"}
    assert accepts(names.node_name, text) == wanted


@given(likely)
def test_sink_names(text: str) -> None:
    pattern = r"(?!__)[a-z0-9_][a-z0-9_-]{0,37}"
    wanted = bool(re.fullmatch(pattern, text)) and text not in {*RESERVED, "source"}
    assert accepts(names.sink_name, text) == wanted


@given(likely)
def test_connection_names(text: str) -> None:
    name = text.strip()
    wanted = bool(re.fullmatch(r"(?!__)[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}", name)) and name not in RESERVED
    assert accepts(names.connection_name, text) == wanted
    assert accepts(names.route_destination, text) == (wanted or name == "fork")


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        (names.node_name, "my node", "found 'my node'; a node's name is a letter, then letters a to z"),
        (names.node_name, "my node", "such as 'my_node'"),
        (names.node_name, "je_prüfgröße", "such as 'je_prufgrosse'"),
        (names.sink_name, "à vérifier", "such as 'a_verifier'"),
        (names.node_name, "1a", "found '1a'"),
        (names.node_name, "source", "'source' is the name of the pipeline's source"),
        (
            names.node_name,
            "fork",
            "'fork' cannot name a node; 'continue', 'fork', 'on_success' have a meaning",
        ),
        (names.node_name, "a" * 39, "has 39 characters; a node's name has at most 38"),
        (names.sink_name, "Out", "a sink's name is in lower case: 'out'"),
        (names.sink_name, "__out", "does not begin with '__'"),
        (names.sink_name, "out ", "such as 'out'"),
        (names.sink_name, "source", "'source' is the name of the pipeline's source"),
        (names.connection_name, "a.b", "such as 'a_b'"),
        (names.connection_name, "__a", "does not begin with '__'"),
        (names.connection_name, "a" * 65, "has at most 64"),
        (names.connection_name, "x\n" * 500, "…"),
        (names.route_destination, "continue", "'continue' is no destination; name the connection or sink"),
    ],
)
def test_messages_say_what_is_wrong_and_what_would_do(check: Any, text: str, expected: str) -> None:
    with pytest.raises(names.InvalidNameError) as error:
        check(text)
    assert expected in str(error.value)


def test_outer_blanks_are_dropped_where_the_format_says_so() -> None:
    assert names.node_name(" a ") == "a"
    assert names.connection_name("\tB ") == "B"
    assert names.route_destination(" fork ") == "fork"
