"""Token ids: their order is the output order."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.rows.errors import InvalidTokenError
from elspeth_dagster.rows.tokens import (
    PathKind,
    child,
    children,
    children_at,
    parse_token_text,
    root_token,
    root_tokens,
    root_tokens_at,
    row_index,
    row_indices,
    token_path,
    token_text,
)

indices = st.integers(0, 2**63 - 1)
elements = st.tuples(st.sampled_from(PathKind), st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)))
paths = st.lists(elements, max_size=4).map(tuple)


def token_of(index, path):
    token = root_token(index)
    for kind, ordinal in path:
        token = child(token, kind, ordinal)
    return token


@given(st.lists(st.tuples(indices, paths)))
def test_byte_order_is_row_then_path_with_parents_first(tokens):
    assert sorted(token_of(*token) for token in tokens) == [token_of(*token) for token in sorted(tokens)]
    in_arrow = pa.array([token_of(*token) for token in tokens], pa.binary()).sort()
    assert in_arrow.to_pylist() == [token_of(*token) for token in sorted(tokens)]


@given(indices, paths)
def test_a_token_gives_back_its_row_and_path(index, path):
    token = token_of(index, path)
    assert row_index(token) == index
    assert token_path(token) == path
    assert parse_token_text(token_text(token)) == token


def test_how_tokens_are_shown():
    fork = child(root_token(42), PathKind.FORK, 1)
    assert token_text(root_token(42)) == "42"
    assert token_text(fork) == "42/fork:1"
    assert token_text(child(fork, PathKind.EXPLODE, 0)) == "42/fork:1/explode:0"
    assert (
        token_text(child(child(fork, PathKind.MERGE, 0), PathKind.BATCH, 300))
        == "42/fork:1/merge:0/batch:300"
    )


def test_the_bytes_are_as_recorded():
    assert root_token(258) == bytes([0, 0, 0, 0, 0, 0, 1, 2])
    assert child(b"", PathKind.FORK, 0) == bytes([1, 1, 0])
    assert child(b"", PathKind.BATCH, 256) == bytes([4, 2, 1, 0])


@given(indices.filter(lambda first: first < 2**62), st.integers(0, 20))
def test_tokens_of_contiguous_rows(first, count):
    tokens = root_tokens(first, count)
    assert tokens.type == pa.binary()
    assert tokens.to_pylist() == [root_token(index) for index in range(first, first + count)]


@given(st.lists(st.tuples(indices, paths)), st.integers(0, 3))
def test_arrays_of_tokens(tokens, start):
    tokens = [(0, ())] * start + tokens
    array = pa.array([token_of(*token) for token in tokens], pa.binary()).slice(start)
    rows = pa.array([index for index, _ in tokens[start:]], pa.int64())
    assert row_indices(array).equals(rows)
    assert root_tokens_at(rows).to_pylist() == [root_token(index) for index in rows.to_pylist()]
    forked = children(array, PathKind.FORK, 2)
    assert forked.to_pylist() == [child(token, PathKind.FORK, 2) for token in array.to_pylist()]
    ordinals = pa.array([index % 1000 for index in rows.to_pylist()], pa.int64())
    exploded = children_at(array, PathKind.EXPLODE, ordinals)
    assert exploded.type == pa.binary()
    assert exploded.to_pylist() == [
        child(token, PathKind.EXPLODE, ordinal)
        for token, ordinal in zip(array.to_pylist(), ordinals.to_pylist(), strict=True)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "1.0",
        "٣",
        "42/",
        "42/fork",
        "42/fork:",
        "42/FORK:1",
        "42/spoon:1",
        "42/fork:x",
        str(2**63),
    ],
)
def test_text_that_shows_no_token(text):
    with pytest.raises(InvalidTokenError, match="is not a token"):
        parse_token_text(text)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"1234567",
        bytes(8) + b"\x01",
        bytes(8) + b"\x01\x02\x01",
        bytes(8) + b"\x09\x01\x01",
        bytes(8) + b"\x01\x00",
    ],
)
def test_bytes_that_are_no_token(token):
    with pytest.raises(InvalidTokenError):
        token_text(token)
