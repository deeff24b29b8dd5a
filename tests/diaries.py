"""Plugins that keep a diary of what happens to them, and break where they are told to."""

from pathlib import Path

from platforms import Platform

TRANSFORM = '''
import os
from pathlib import Path
from typing import Any

from pydantic import Field

from elspeth_dagster.plugins import Options, PluginContext, RowTransform


class DiaryOptions(Options):
    breaks: tuple[str, ...] = Field(default=(), description="Which of open, process and close raise.")


class Diary(RowTransform):
    """Writes down what happens to it."""

    Options = DiaryOptions

    def open(self, context: PluginContext) -> None:
        self.node = context.node
        self._happens("open")

    def process(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == "2":
            self._happens("process")
        return row

    def close(self) -> None:
        self._happens("close")

    def _happens(self, what: str) -> None:
        with (Path(os.environ["ELSPETH_ROOT"]) / "diary").open("a") as diary:
            diary.write(f"{self.node} {what}\\n")
        if what in self.options.breaks:
            raise RuntimeError(f"{self.node} cannot {what}")
'''

SOURCE = '''
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins import Options, PluginContext, RowSource


class DiarySourceOptions(Options):
    breaks: tuple[str, ...] = ()


class DiarySource(RowSource):
    """Three rows, written down in the diary."""

    Options = DiarySourceOptions

    def open(self, context: PluginContext) -> None:
        self._happens("open")

    def read(self) -> Iterator[Mapping[str, Any]]:
        for number in range(4):
            if number == 2:
                self._happens("read")
            yield {"id": str(number)}

    def close(self) -> None:
        self._happens("close")

    def _happens(self, what: str) -> None:
        with (Path(os.environ["ELSPETH_ROOT"]) / "diary").open("a") as diary:
            diary.write(f"source {what}\\n")
        if what in self.options.breaks:
            raise RuntimeError(f"source cannot {what}")
'''

SINK = '''
import os
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins import Options, PluginContext, RowSink


class DiarySinkOptions(Options):
    breaks: tuple[str, ...] = ()


class DiarySink(RowSink):
    """Takes rows and writes down what happens."""

    Options = DiarySinkOptions

    def open(self, context: PluginContext) -> None:
        self._happens("open")

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._happens("write")

    def close(self) -> None:
        self._happens("close")

    def _happens(self, what: str) -> None:
        with (Path(os.environ["ELSPETH_ROOT"]) / "diary").open("a") as diary:
            diary.write(f"sink {what}\\n")
        if what in self.options.breaks:
            raise RuntimeError(f"sink cannot {what}")
'''


def write_pipeline(
    platform: Platform,
    *,
    source: tuple[str, ...] = (),
    first: tuple[str, ...] = (),
    second: tuple[str, ...] = (),
    sink: tuple[str, ...] = (),
) -> Path:
    """Source, two transforms and sink that keep a diary; each given what of it shall raise."""
    platform.plugin("diary", TRANSFORM)
    platform.plugin("diary_source", SOURCE)
    platform.plugin("diary_sink", SINK)
    return platform.pipeline("lives", {
        "source": {"plugin": "diary_source", "on_success": "a",
                   "options": {"breaks": list(source), "on_validation_failure": "discard"}},
        "transforms": [
            {"name": "first", "plugin": "diary", "input": "a", "on_success": "b", "on_error": "discard",
             "options": {"breaks": list(first)}},
            {"name": "second", "plugin": "diary", "input": "b", "on_success": "out", "on_error": "discard",
             "options": {"breaks": list(second)}},
        ],
        "sinks": {"out": {"plugin": "diary_sink", "options": {"breaks": list(sink)}}},
    })  # fmt: skip


def diary(platform: Platform) -> list[str]:
    """What happened since this was asked last."""
    path = platform.path("diary")
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


NORMAL = [
    "source open", "source read", "source close",
    "first open", "second open", "first process", "second process", "second close", "first close",
    "sink open", "sink write", "sink close",
]  # fmt: skip


def mend(platform: Platform) -> None:
    """Leaves the options, which a resume may not change, and gives plugins with nothing that breaks."""
    for name, code in (("diary", TRANSFORM), ("diary_source", SOURCE), ("diary_sink", SINK)):
        platform.plugin(name, code.replace("if what in self.options.breaks:", "if False:"))
