"""The page on the settings file names every key that there is, with its default."""

import dataclasses
import re
from typing import Any

import pytest
from markdown_pages import REPOSITORY, Page
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from elspeth_dagster.plugins.batch import BatchPlugin
from elspeth_dagster.plugins.kinds import PluginKind
from elspeth_dagster.plugins.registry import PluginSet
from elspeth_dagster.settings import RetrySettings
from elspeth_dagster.settings.dagster_section import DagsterSettings
from elspeth_dagster.settings.entries import (
    AggregationEntry,
    CoalesceEntry,
    GateEntry,
    SinkEntry,
    SourceEntry,
    TransformEntry,
    TriggerEntry,
)
from elspeth_dagster.settings.sections import MAX_ENTRIES, TOP_LEVEL

PAGE = Page.read(REPOSITORY / "docs" / "guide" / "settings.md")
_CHAPTERS = {PluginKind.SOURCE: "Source", PluginKind.TRANSFORM: "Transforms", PluginKind.SINK: "Sinks"}
_BUILT_IN = [
    (kind, name) for kind in PluginKind for name in PluginSet().names(kind) if name != "null"
]  # the null source takes any


def chapter(title: str) -> str:
    """What stands under a heading of the second level."""
    return re.split(r"^## ", PAGE.content.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def section(title: str, subtitle: str) -> str:
    """What stands under a heading of the third level, with what its chapter says of all of them."""
    text = chapter(title)
    own = re.split(r"^### ", text.split(f"\n### {subtitle}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return text.split("\n### ")[0] + own


def written(default: Any) -> str | None:
    """A default as the page writes it; None where there is nothing to write."""
    value = getattr(default, "value", default)
    if value is None or value is PydanticUndefined or value in ((), [], ""):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


@pytest.mark.parametrize(("kind", "name"), _BUILT_IN, ids=lambda value: getattr(value, "value", value))
def test_every_option_of_a_plugin(kind: PluginKind, name: str) -> None:
    plugin = PluginSet().resolve(kind, name).plugin
    text = section("Aggregations" if issubclass(plugin, BatchPlugin) else _CHAPTERS[kind], name)
    model: type[BaseModel] = plugin.Options
    for option, field in model.model_fields.items():
        row = next(
            (line for line in text.splitlines() if line.startswith("|") and f"`{option}`" in line), None
        )
        assert row is not None or f"`{option}`" in text, f"{option} is missing"
        default = written(field.get_default(call_default_factory=True))
        if row is not None and default is not None and option != "headers":
            assert default in row, f"{option}: the page does not say that the default is {default}"
        if row is not None and field.is_required():
            assert "required" in row, f"{option} is required"


@pytest.mark.parametrize(
    ("entry", "title"),
    [
        (SourceEntry, "Source"),
        (TransformEntry, "Transforms"),
        (GateEntry, "Gates"),
        (AggregationEntry, "Aggregations"),
        (TriggerEntry, "Aggregations"),
        (CoalesceEntry, "Coalesces"),
        (SinkEntry, "Sinks"),
    ],
)
def test_every_key_of_a_node(entry: type[BaseModel], title: str) -> None:
    for key in entry.model_fields:
        text = chapter(title)
        assert f"`{key}`" in text or f"`{key}." in text, f"{key} is missing"


def test_every_key_of_the_section_dagster() -> None:
    for field in dataclasses.fields(DagsterSettings):
        assert f"`{field.name}`" in chapter("dagster") or f"`dagster.{field.name}`" in chapter(
            "Without effect"
        )


def test_every_key_of_the_section_retry() -> None:
    for field in dataclasses.fields(RetrySettings):
        row = next(line for line in chapter("retry").splitlines() if line.startswith(f"| `{field.name}`"))
        assert f"| {getattr(RetrySettings(), field.name):g} |" in row


def test_every_key_at_the_root() -> None:
    for key in TOP_LEVEL:
        assert re.search(rf"`{key}[`.:]", PAGE.content), f"{key} is missing"


def test_limits() -> None:
    root = chapter("The file")
    for key in ("sinks", "transforms", "gates", "aggregations", "coalesce"):
        row = next(line for line in root.splitlines() if f"`{key}`" in line)
        assert str(MAX_ENTRIES[key]) in row
