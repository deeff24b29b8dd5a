"""Markdown for Dagster's pages: tables and code that no text from a row can break."""

from collections.abc import Iterable, Sequence

_CELL_CHARACTERS = 60


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is one line, and what is in it is text, not Markdown."""
    lines = [_line(map(cell, header)), "|" + "---|" * len(header)]
    lines += [_line(map(cell, row)) for row in rows]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(text: str) -> str:
    """A text in a cell, cut to size."""
    short = cut(text, _CELL_CHARACTERS)
    for character, shown in _ESCAPES.items():
        short = short.replace(character, shown)
    return short


def printable(text: str) -> str:
    """A text that can be stored as UTF-8, which the name of a file need not be."""
    return text.encode(errors="backslashreplace").decode()


def cut(text: str, characters: int = 200) -> str:
    """A text as one line of at most so many characters."""
    short = " ".join(text[: 4 * characters].splitlines())
    return short if len(short) <= characters else short[: characters - 1] + "…"


_ESCAPES = {"&": "&amp;", "<": "&lt;"} | {character: f"\\{character}" for character in "\\|*_`[~"}


def code(text: str) -> str:
    """One line of code."""
    line = " ".join(text.split())
    longest = max((len(run) for run in _backtick_runs(line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def block(text: str) -> str:
    """Text as it stands, in a block."""
    longest = max((len(run) for run in _backtick_runs(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _backtick_runs(text: str) -> list[str]:
    return "".join(character if character == "`" else " " for character in text).split()
