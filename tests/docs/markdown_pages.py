"""Documentation pages: their code blocks, links and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
GUIDE = sorted((REPOSITORY / "docs" / "guide").glob("*.md"))
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
ELLIPSIS = "…"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<title>.+?) *$", re.MULTILINE)
_EXPECTED_EXIT = re.compile(r"\s+# exit (?P<code>\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: The first word behind the fence.
        words: The other words.
        text: What is inside.
        line: Its first line in the page.
        follows: Whether nothing but blank lines stands between it and the block before.
    """

    language: str
    words: tuple[str, ...]
    text: str
    line: int
    follows: bool

    @property
    def file(self) -> str | None:
        """The path of a block that is a file's content."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


@dataclass(frozen=True)
class Command:
    """A line of a console block.

    Attributes:
        text: The command.
        exit_code: How it ends.
    """

    text: str
    exit_code: int


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path
    content: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Page":
        return cls(path, path.read_text(encoding="utf-8"))

    def blocks(self) -> Iterator[Block]:
        behind = 0
        for match in _FENCE.finditer(self.content):
            language, *words = match["info"].split() or [""]
            follows = behind > 0 and not self.content[behind : match.start()].strip()
            line = self.content.count("\n", 0, match.start()) + 1
            yield Block(language, tuple(words), match["text"], line, follows)
            behind = match.end()

    def links(self) -> Iterator[str]:
        """Targets inside the repository, in running text."""
        for match in _LINK.finditer(_FENCE.sub("", self.content)):
            if not re.match(r"[a-z]+:", match["target"]):
                yield match["target"]

    def anchors(self) -> set[str]:
        """What a link to one of the page's headings can name."""
        titles = (match["title"] for match in _HEADING.finditer(_FENCE.sub("", self.content)))
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(block: Block) -> list[Command]:
    """The commands of a console block: each is one line that begins with `$`."""
    found = []
    for line in block.text.splitlines():
        assert line.startswith("$ "), f"a console block holds commands alone, and this is none: {line}"
        expected = _EXPECTED_EXIT.search(line)
        text = _EXPECTED_EXIT.sub("", line.removeprefix("$ "))
        found.append(Command(text, int(expected["code"]) if expected else 0))
    return found


def missing_line(expected: str, printed: str) -> str | None:
    """The first expected line that does not come in what was printed behind those before it.

    `…` stands for anything, and runs of blanks count as one.
    """
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in filter(None, (" ".join(line.split()) for line in expected.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, line.split(ELLIPSIS))))
        if not any(pattern.fullmatch(found) for found in lines):
            return line
    return None
