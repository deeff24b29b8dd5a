"""Where a landscape is: the catalogue's database and the folder of its segments."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from elspeth_dagster.landscape.errors import FileLocationError, LocationError

CATALOGUE_FILE = "catalogue.db"
SEGMENTS_FOLDER = "segments"

_URL = re.compile(r"(?P<dialect>[a-z]+)(?:\+(?P<driver>[a-z0-9]+))?://(?P<rest>.*)", re.DOTALL)
_PASSWORD = re.compile(r"(//[^/@:]*:)[^@]*(?=@)|([?&](?:ssl)?password=)[^&]*")


@dataclass(frozen=True)
class Location:
    """A catalogue and its segment folder.

    Attributes:
        url: The catalogue's SQLAlchemy URL. It may hold a password, so it is not shown; see `display`.
        segments: Absolute path of the folder that holds segments and parts.
    """

    url: str = field(repr=False)
    segments: Path

    @classmethod
    def parse(cls, value: str | Path, *, segments: Path | None = None) -> Self:
        """Reads a location as a person writes it.

        Args:
            value: `postgresql://…`, `sqlite:///PATH` (PATH taken as it is, without escapes), or a folder,
                which then holds both the SQLite catalogue and the segments.
            segments: The segment folder. Needed for PostgreSQL; beside the database file otherwise.

        Raises:
            LocationError: The value is none of these, or names a folder in place of a database file.
            FileLocationError: It names a file in place of a folder.
        """
        text = str(value)
        match = _URL.fullmatch(text) if isinstance(value, str) else None
        if match is None:
            if not text.strip():
                raise LocationError(text, "it is empty")
            folder = Path(value).expanduser().absolute()
            if folder.is_file():
                beside = folder.parent if (folder.parent / CATALOGUE_FILE).is_file() else None
                raise FileLocationError(folder, beside)
            return cls._sqlite(folder / CATALOGUE_FILE, segments or folder / SEGMENTS_FOLDER)
        if match["dialect"] == "sqlite":
            return cls._sqlite_url(text, match["rest"], segments)
        if match["dialect"] in ("postgresql", "postgres"):
            return cls._postgresql(text, match, segments)
        raise LocationError(
            _hide(text), f"{match['dialect']!r} is not a database that a catalogue can be kept in"
        )

    @classmethod
    def _sqlite_url(cls, text: str, rest: str, segments: Path | None) -> Self:
        path = rest[1:] if rest.startswith("/") else ""
        if not path or path == ":memory:":
            raise LocationError(text, "a catalogue needs a file")
        database = Path(path).absolute()
        if database.is_dir():
            raise LocationError(text, "a catalogue is a file, and this is a folder")
        return cls._sqlite(database, segments or database.parent / SEGMENTS_FOLDER)

    @classmethod
    def _sqlite(cls, database: Path, segments: Path) -> Self:
        return cls(url=f"sqlite:///{database}", segments=segments.expanduser().absolute())

    @classmethod
    def _postgresql(cls, text: str, match: re.Match[str], segments: Path | None) -> Self:
        if match["driver"] not in (None, "psycopg"):
            raise LocationError(_hide(text), f"driver {match['driver']!r} is not supported; psycopg is")
        if segments is None:
            raise LocationError(
                _hide(text), "a PostgreSQL catalogue needs a folder for segments as well (ELSPETH_SEGMENTS)"
            )
        return cls(url=f"postgresql+psycopg://{match['rest']}", segments=segments.expanduser().absolute())

    @property
    def database(self) -> Path | None:
        """The SQLite file, or None for a server."""
        prefix = "sqlite:///"
        return Path(self.url[len(prefix) :]) if self.url.startswith(prefix) else None

    @property
    def display(self) -> str:
        """The catalogue's place as it may be printed: a path, or a URL without its password."""
        return str(self.database) if self.database is not None else _hide(self.url)

    def __str__(self) -> str:
        return self.display


def _hide(url: str) -> str:
    return _PASSWORD.sub(r"\1\2***", url)
