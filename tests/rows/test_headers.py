"""Header normalisation, the table of the settings reference."""

import pytest

from elspeth_dagster.rows.headers import (
    MAX_COLUMNS,
    HeaderError,
    header_of_cells,
    header_of_columns,
    normalise_header,
)


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("User ID", "user_id"),
        ("CaSE Study1 !!!! xx!", "case_study1_xx"),
        ("  Amount (USD) ", "amount_usd"),
        ("2024 Total", "_2024_total"),
        ("class", "class_"),
        ("class!", "class_"),
        ("True", "true"),
        ("None", "none"),
        ("a-b.c", "a_b_c"),
        ("\ufeffid", "id"),
        ("a\u00a0b", "a_b"),
        ("naïve Café", "naïve_café"),
        ("nai\u0308ve", "naïve"),
        ("Straße", "straße"),
        ("İstanbul", "i_stanbul"),
        ("email@domain", "email_domain"),
        ("_private", "private"),
        ("__x__", "x"),
        ("match", "match"),
        ("type", "type"),
        ("名前", "名前"),
    ],
)
def test_a_header_becomes_a_field_name(original: str, name: str) -> None:
    assert normalise_header(original) == name


@pytest.mark.parametrize("original", ["%", "___", "🙂", "", "  ", "x²", "½"])
def test_a_header_that_gives_no_name_is_an_error_that_shows_it(original: str) -> None:
    with pytest.raises(HeaderError, match="header"):
        normalise_header(original)


def test_all_bad_headers_are_listed_with_their_positions() -> None:
    with pytest.raises(HeaderError) as caught:
        header_of_cells(["a", "%", "b", ""])
    assert "column 2" in str(caught.value)
    assert "column 4" in str(caught.value)


def test_headers_that_give_the_same_name_are_listed_with_all_positions() -> None:
    with pytest.raises(HeaderError) as caught:
        header_of_cells(["User ID", "x", "user_id", "USER-ID", "X!"])
    message = str(caught.value)
    for part in ["'user_id'", "column 1", "column 3", "column 4", "'x'", "column 2", "column 5", "'USER-ID'"]:
        assert part in message


def test_names_and_originals_go_together() -> None:
    header = header_of_cells(["User ID", " Amt $ "], {"amt": "amount"})
    assert header.by_name == {"user_id": "User ID", "amount": " Amt $ "}


def test_a_mapping_may_swap_two_names() -> None:
    assert header_of_cells(["a", "b"], {"a": "b", "b": "a"}).by_name == {"b": "a", "a": "b"}


def test_a_mapping_of_an_absent_field_is_an_error_that_lists_the_present_ones() -> None:
    with pytest.raises(HeaderError, match=r"'zz'.*it has 'a', 'b'"):
        header_of_cells(["a", "b"], {"zz": "y"})


def test_a_mapping_onto_another_field_is_an_error() -> None:
    with pytest.raises(HeaderError, match="several columns the name 'b'"):
        header_of_cells(["a", "b"], {"a": "b"})


def test_columns_are_used_verbatim() -> None:
    header = header_of_columns(["User", "x_"], {"User": "who"})
    assert header.by_name == {"who": "User", "x_": "x_"}


def test_more_than_ten_thousand_columns_are_refused() -> None:
    assert len(header_of_cells([f"c{n}" for n in range(MAX_COLUMNS)]).names) == MAX_COLUMNS
    with pytest.raises(HeaderError, match="10001 columns"):
        header_of_cells([f"c{n}" for n in range(MAX_COLUMNS + 1)])
