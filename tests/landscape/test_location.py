from pathlib import Path

import pytest

from elspeth_dagster.landscape.errors import FileLocationError, LocationError
from elspeth_dagster.landscape.location import Location


@pytest.mark.parametrize("name", ["plain", "with a space", "ünïcode 日本", "per%20cent", "what?=#&", "a@b:c"])
def test_a_folder_holds_catalogue_and_segments(tmp_path, name):
    location = Location.parse(tmp_path / name)
    assert location.database == tmp_path / name / "catalogue.db"
    assert location.segments == tmp_path / name / "segments"
    assert location == Location.parse(str(tmp_path / name))
    assert f"{location}" == location.display == str(tmp_path / name / "catalogue.db")


def test_a_relative_folder_is_taken_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Location.parse("some/where").database == tmp_path / "some/where/catalogue.db"
    assert Location.parse("sqlite:///some/where.db").segments == tmp_path / "some/segments"


def test_a_sqlite_url_is_taken_to_the_letter(tmp_path):
    location = Location.parse(f"sqlite:///{tmp_path}/a b%20/ü?.db")
    assert location.database == tmp_path / "a b%20" / "ü?.db"
    assert location.segments == tmp_path / "a b%20" / "segments"
    assert Location.parse(f"sqlite+pysqlite:///{tmp_path}/x.db").database == tmp_path / "x.db"


def test_segments_can_be_elsewhere(tmp_path):
    location = Location.parse(tmp_path / "catalogue", segments=tmp_path / "big disk")
    assert location.segments == tmp_path / "big disk"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/db",
        "postgres://me:secret@host/db",
        "postgresql+psycopg://me:secret@host/db",
    ],
)
def test_a_postgresql_url_uses_psycopg_and_hides_its_password(tmp_path, url):
    location = Location.parse(url, segments=tmp_path)
    assert location.url == "postgresql+psycopg://me:secret@host/db"
    assert location.database is None
    assert "secret" not in location.display
    assert "secret" not in repr(location)
    assert "me:***@host/db" in location.display


def test_a_password_among_the_parameters_of_a_url_is_hidden_too(tmp_path):
    url = "postgresql://host/db?user=me&password=secret&sslmode=require"
    location = Location.parse(url, segments=tmp_path)
    assert location.url.endswith("password=secret&sslmode=require")
    assert location.display == "postgresql+psycopg://host/db?user=me&password=***&sslmode=require"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("sqlite://", "needs a file"),
        ("sqlite:///", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://me:secret@host/db", "'mysql' is not a database"),
        ("postgresql+psycopg2://host/db", "driver 'psycopg2' is not supported"),
        ("postgresql://me:secret@host/db", "needs a folder for segments"),
    ],
)
def test_what_cannot_be_used_is_refused(value, why):
    with pytest.raises(LocationError, match=why) as caught:
        Location.parse(value)
    assert "secret" not in str(caught.value)


def test_a_file_is_no_landscape_and_a_folder_no_catalogue(tmp_path):
    (tmp_path / "catalogue.db").touch()
    with pytest.raises(FileLocationError) as caught:
        Location.parse(tmp_path / "catalogue.db")
    assert str(caught.value) == (
        f"{tmp_path}/catalogue.db: a landscape is a folder, and this is a file; did you mean {tmp_path}?"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/notes").touch()
    with pytest.raises(FileLocationError, match=r"and this is a file$"):
        Location.parse(str(tmp_path / "deep/notes"))
    with pytest.raises(LocationError, match="a catalogue is a file, and this is a folder"):
        Location.parse(f"sqlite:///{tmp_path}/deep")


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Location.parse("~/here").database == Path(tmp_path, "here/catalogue.db")
