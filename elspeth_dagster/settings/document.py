"""A YAML file as plain data, with the place of every key; within limits that no honest file meets."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from elspeth_dagster.settings.composer import Composer
from elspeth_dagster.settings.errors import Problem, SettingsError
from elspeth_dagster.settings.locations import Locations
from elspeth_dagster.settings.reading import UnreadableError, check_printable, read_text

_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_BRACES = re.compile(r"\$?\{[^{}\s:,]+\}")
"""What stands for a text of its own, and is a mapping to YAML."""


@dataclass(frozen=True)
class Document:
    """What a YAML file holds.

    Attributes:
        data: Its content: dict, list, str, int, float, bool and None only. None for an empty file.
        locations: The place of every key and list item.
        problems: What is wrong without standing in the way of reading on, such as a key given twice.
    """

    data: Any
    locations: Locations
    problems: tuple[Problem, ...]


def read_document(path: Path) -> Document:
    """Read and parse one YAML file.

    Raises:
        SettingsError: It cannot be read, is not YAML, or exceeds a limit.
    """
    with _problems_of(path):
        return parse_document(read_text(path, is_settings=True), str(path))


def require_readable(path: Path) -> None:
    """Refuses a file that no settings can be read from, whatever they are.

    Raises:
        SettingsError: It is missing, or holds no text.
    """
    with _problems_of(path):
        read_text(path, is_settings=True)


@contextmanager
def _problems_of(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableError as error:
        raise SettingsError([Problem(str(path), error.line, error.column, "", error.reason)]) from error


def parse_document(text: str, file: str) -> Document:
    """Parse the text of one YAML file.

    Args:
        text: The content.
        file: The name that problems give.

    Raises:
        SettingsError: It is not YAML, or exceeds a limit.
        UnreadableError: It holds a control character.
    """
    check_printable(text)
    composer = Composer(text, file)
    try:
        data = composer.document()
    except yaml.YAMLError as error:
        raise SettingsError([_syntax_problem(error, text, file)]) from error
    return Document(data, Locations(file, composer.marks), tuple(composer.problems))


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(file, 0, 0, "", f"not valid YAML: {error}")
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    message = f"not valid YAML: {error.problem}"
    if error.context and error.context_mark:
        message += f", {error.context} that begins in line {error.context_mark.line + 1}"
    lines = text.splitlines()
    found = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in found[: len(found) - len(found.lstrip())]:
        message += "; the line is indented with a tab, and YAML takes spaces only"
    elif braces := _BRACES.search(_QUOTED.sub("", found)):
        message += f"; put the whole text that holds {braces[0]} in quotes"
    elif error.problem and "cannot start any token" in error.problem:
        message += "; put the value in quotes"
    return Problem(file, line, column, "", message)
