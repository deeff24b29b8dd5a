"""Every example in the README and the guide runs, and prints what the page says.

In a page, from top to bottom, in a platform folder of its own:

- a block with `file=PATH` is written there;
- each line of a `console` block is run; it must succeed, or end as `# exit 1` says. `RUN` stands for the id
  of the newest run;
- a `sql` block is asked of the landscape;
- a `text output` block directly behind must be in what the last command printed, line by line;
- other blocks are illustrations; YAML and JSON ones must parse.
"""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown_pages import GUIDE, REPOSITORY, Block, Command, Page, commands, missing_line
from platforms import BIN, DEADLINE_S, Platform

from elspeth_dagster.cli import main

_PLATFORM_FILES = ("workspace.yaml", "definitions.py", "dagster.yaml")
_SHELL = re.compile(r"[|<>;&*?$`]")
_NEWEST_RUN = re.compile(r"\bRUN\b")


@pytest.fixture
def clone(platform: Platform) -> Platform:
    """A platform with what a clone of the repository has, but for the package."""
    for name in _PLATFORM_FILES:
        shutil.copy(REPOSITORY / name, platform.root)
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "pipelines", platform.path("pipelines"), ignore=caches)
    return platform


@dataclass
class _Reader:
    """Somebody who does what a page says.

    Attributes:
        platform: Where.
        printed: What the last command printed.
    """

    platform: Platform
    printed: str = ""

    def read(self, block: Block) -> None:
        if block.file is not None:
            self.platform.write(block.file, block.text.encode())
        elif block.language == "console":
            for command in commands(block):
                self._run(command)
        elif block.language == "sql":
            self._run(Command(shlex.join(["elspeth", "sql", block.text]), 0))
        elif block.language == "text" and "output" in block.words:
            assert block.follows, "the output of a command stands directly behind it"
            missing = missing_line(block.text, self.printed)
            assert missing is None, f"not printed: {missing}\nprinted:\n{self.printed}"

    def _run(self, command: Command) -> None:
        text = _NEWEST_RUN.sub(self._newest_run, command.text)
        in_process = text.startswith("elspeth ") and not _SHELL.search(re.sub("'[^']*'", "", text))
        code, self.printed = self._here(text) if in_process else self._in_shell(text)
        assert code == command.exit_code, f"$ {text}\nended with {code}:\n{self.printed}"

    def _newest_run(self, _match: re.Match[str]) -> str:
        return str(self.platform.runs()[0]["run_id"])

    def _here(self, text: str) -> tuple[int, str]:
        kept = dict(os.environ)
        try:
            result = CliRunner().invoke(main, shlex.split(text)[1:])
        finally:
            os.environ.clear()
            os.environ.update(kept)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    def _in_shell(self, text: str) -> tuple[int, str]:
        path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            text, shell=True, cwd=self.platform.root, env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout


@pytest.mark.parametrize("path", [REPOSITORY / "README.md", *GUIDE], ids=lambda path: path.stem)
def test_examples_run(path: Path, clone: Platform) -> None:
    reader = _Reader(clone)
    for block in Page.read(path).blocks():
        try:
            reader.read(block)
        except AssertionError as error:
            error.add_note(f"{path.name}, line {block.line}")
            raise


def test_output_is_compared_line_by_line() -> None:
    printed = "a  b\nrun 17 completed in 0.3 s\nlast"
    assert missing_line("a b\nrun … completed in … s", printed) is None
    assert missing_line("last\na b", printed) == "a b"
    assert missing_line("run … failed", printed) == "run … failed"
