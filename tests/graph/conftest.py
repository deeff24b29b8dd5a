"""Settings files with a mark at the line on which a problem is to be reported."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from elspeth_dagster.plugins.compile import Compiled, compile_pipeline
from elspeth_dagster.settings.errors import Problem, SettingsError

MARK = "#!"

Write = Callable[[str], Path]
Problems = Callable[[str], tuple[Problem, ...]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_settings(text: str) -> Path:
        path = tmp_path / "pipeline.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return write_settings


@pytest.fixture
def compiled(write: Write) -> Callable[[str], Compiled]:
    return lambda text: compile_pipeline(write(text), {})


@pytest.fixture
def problems(write: Write) -> Problems:
    """The problems of settings, each of which must stand on a marked line, with none of those left over."""

    def compile_badly(text: str) -> tuple[Problem, ...]:
        path = write(text)
        with pytest.raises(SettingsError) as caught:
            compile_pipeline(path, {})
        marked = [n for n, line in enumerate(path.read_text().splitlines(), 1) if MARK in line]
        found = caught.value.problems
        assert sorted({problem.line for problem in found}) == marked, str(caught.value)
        assert all(str(path) in str(problem) for problem in found)
        return found

    return compile_badly
