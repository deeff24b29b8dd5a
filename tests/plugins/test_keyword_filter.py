import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transforming import Row, applied, made, rows, rows_of

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.transforms.keyword_filter import KeywordFilter


def test_first_field_and_first_pattern_speak():
    keep = made(KeywordFilter, fields=["a", "b"], blocked_patterns=["secret", "(?i)SECRET|x"])
    found = applied(
        keep,
        [
            {"b": "x", "a": "a secret"},
            {"a": "Secret", "b": "secret"},
            {"a": "é x"},
            {"a": "fine"},
            {"c": "secret"},
        ],
    )
    assert found[0] == {
        "reason": "blocked_content",
        "field": "a",
        "pattern": "secret",
        "position": 2,
        "match_length": 6,
        "text_length": 8,
    }
    assert [(row.get("field"), row.get("pattern"), row.get("position")) for row in found[1:3]] == [
        ("a", "(?i)SECRET|x", 0),
        ("a", "(?i)SECRET|x", 2),
    ]
    assert found[3:] == [{"a": "fine"}, {"c": "secret"}]


def test_named_fields_must_hold_text_where_they_are():
    keep = made(KeywordFilter, fields="a", blocked_patterns=["x"])
    found = applied(keep, [{"a": None}, {"a": 5}, {"a": ["x"]}, {}, {"a": "y"}])
    assert found == [
        {"reason": "non_string_field", "field": "a", "found": "null"},
        {"reason": "non_string_field", "field": "a", "found": "int"},
        {"reason": "non_string_field", "field": "a", "found": "list or object"},
        {},
        {"a": "y"},
    ]


def test_all_looks_at_every_text_in_the_order_of_the_row():
    keep = made(KeywordFilter, fields="all", blocked_patterns=["x"])
    found = applied(keep, [{"a": None, "b": 5, "c": ["x"]}, {"b": "x", "a": "x"}, {"a": "x", "b": "x"}])
    assert found[0] == {"a": None, "b": 5, "c": ["x"]}
    assert [row["field"] for row in found[1:]] == ["b", "a"]


def test_a_list_names_fields_even_one_that_is_called_all():
    given_rows = rows_of([{"all": "x", "z": "foo"}, {"all": "foo", "z": "x"}])
    done = made(KeywordFilter, fields=["all"], blocked_patterns=["foo"]).apply(given_rows)
    assert list(done.errors) == [1]


def test_original_headers_name_fields():
    done = made(KeywordFilter, fields=["Free Text"], blocked_patterns=["x"]).apply(
        rows_of([{"free_text": "x"}], {"free_text": "Free Text"})
    )
    assert done.errors[0]["field"] == "free_text"


def test_rows_pass_unchanged():
    given_rows = rows_of([{"a": "b"}])
    assert made(KeywordFilter, fields="a", blocked_patterns=["x"]).apply(given_rows).rows is given_rows
    assert not KeywordFilter.changes_rows


@pytest.mark.parametrize(
    "options",
    [
        {"fields": "a"},
        {"blocked_patterns": ["x"]},
        {"fields": [], "blocked_patterns": ["x"]},
        {"fields": [""], "blocked_patterns": ["x"]},
        {"fields": "a", "blocked_patterns": []},
        {"fields": "a", "blocked_patterns": [""]},
        {"fields": "a", "blocked_patterns": ["x", "("]},
        {"fields": "a", "blocked_patterns": ["(a+)+"]},
        {"fields": "a", "blocked_patterns": ["x" * 1001]},
    ],
)
def test_load_errors(options):
    with pytest.raises(ValidationError):
        made(KeywordFilter, **options)


def reference(row: Row, fields: list[str] | str, patterns: list[str]) -> Row | Reason:
    for field in row if fields == "all" else fields:
        if field not in row:
            continue
        text = row[field]
        if not isinstance(text, str):
            if fields == "all":
                continue
            return {"reason": "non_string_field", "field": field}
        for pattern in patterns:
            if match := re.search(pattern, text):
                return {
                    "reason": "blocked_content",
                    "field": field,
                    "pattern": pattern,
                    "position": match.start(),
                    "match_length": match.end() - match.start(),
                    "text_length": len(text),
                }
    return row


@settings(max_examples=150)
@given(
    rows(),
    st.just("all") | st.lists(st.sampled_from("abcx"), min_size=1, max_size=3),
    st.lists(
        st.sampled_from([r"\d", "a", r"(?i)k", r"\W\w", "é+", "$", "[^ -~]", "0$"]), min_size=1, max_size=3
    ),
)
def test_same_as_row_by_row(given_rows, fields, patterns):
    expected = [reference(row, fields, patterns) for row in given_rows]
    found = applied(made(KeywordFilter, fields=fields, blocked_patterns=patterns), given_rows)
    for row in found:
        if row.get("reason") == "non_string_field":
            del row["found"]
    assert found == expected
