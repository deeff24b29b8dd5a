"""Keys of partitions: one safe path component each, no two files with the same one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.settings.partitions import (
    file_of_key,
    is_safe_key,
    key_of_file,
    meant_key,
    watched_folder,
)

FOLDER = Path("/data/in")
NAMES = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
PATHS = st.lists(NAMES.filter(lambda name: name not in {b".", b".."}), min_size=1, max_size=3)


@given(PATHS)
def test_a_file_has_a_safe_key_that_leads_back_to_it(parts: list[bytes]) -> None:
    below = os.fsdecode(b"/".join(parts))
    key = key_of_file(FOLDER / below, FOLDER)
    assert is_safe_key(key)
    assert "/" not in key
    assert "..." not in key
    assert key.isprintable() or key.encode()
    assert file_of_key(key, str(FOLDER)) == str(FOLDER / below)


@pytest.mark.parametrize(
    ("name", "key"),
    [("a.csv", "a.csv"), ("Ü b+c.csv", "Ü b+c.csv"), ("b/c.csv", "b%2Fc.csv"), ("b%2Fc.csv", "b%252Fc.csv")],
)
def test_keys_are_readable(name: str, key: str) -> None:
    assert key_of_file(FOLDER / name, FOLDER) == key


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../a", "a\\b", "a\0", "a\n", "a...b"])
def test_unsafe_keys(key: str) -> None:
    assert not is_safe_key(key)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("%66irst.csv", "first.csv"),
        (".%2Ffirst.csv", "first.csv"),
        ("b%2fc.csv", "b%2Fc.csv"),
        ("b/c", "b%2Fc"),
    ],
)
def test_a_file_has_one_key(key: str, meant: str) -> None:
    assert file_of_key(key, str(FOLDER)) is None
    assert meant_key(key) == meant
    assert file_of_key(meant, str(FOLDER)) is not None


@pytest.mark.parametrize("key", ["..%2Fa", "%2Fetc%2Fpasswd", "a%2F..%2F..%2Fb", "%00", "%2E%2E"])
def test_keys_that_lead_out_of_the_folder(key: str) -> None:
    assert file_of_key(key, str(FOLDER)) is None


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("inbox/*.csv", "inbox"),
        ("inbox/**/*.csv", "inbox"),
        ("/in/2026-*/x.csv", "/in"),
        ("in/x.csv", "in"),
        ("*.csv", "."),
        ("in/[ab]/c", "in"),
        ("../data/*.csv", "../data"),
        ("in/../data/./*.csv", "data"),
    ],
)
def test_the_watched_folder(pattern: str, folder: str) -> None:
    assert watched_folder(pattern) == folder
