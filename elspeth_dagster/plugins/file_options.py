"""Options that sources and sinks of files share."""

from typing import Annotated

from pydantic import AfterValidator

from elspeth_dagster.plugins.sources.transcode import canonical_encoding


def _path(value: str) -> str:
    if not value.strip():
        raise ValueError("must name a file")
    return value


def _delimiter(value: str) -> str:
    if len(value) != 1 or value in '"\r\n\0':
        raise ValueError("must be one character, and neither a quote nor a line end")
    return value


def _encoding(value: str) -> str:
    try:
        canonical_encoding(value)
    except LookupError as error:
        raise ValueError(f"there is no text encoding called {value!r}") from error
    return value


FilePath = Annotated[str, AfterValidator(_path)]
Delimiter = Annotated[str, AfterValidator(_delimiter)]
Encoding = Annotated[str, AfterValidator(_encoding)]
